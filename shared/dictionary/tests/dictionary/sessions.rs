//! A command proposed twice counts once.

use crate::script::*;
use rafty_dictionary::{Entries, KEPT_RESULTS, MAX_KEPT_RESULT_LEN, MAX_SESSIONS, Outcome, Replicated};
use rafty_types::ControlCommand as C;
use rafty_types::*;

impl Script {
    fn opens_session(&mut self) -> SessionId {
        self.does("ann", C::SessionOpened);
        SessionId(self.state.applied().0)
    }

    fn within(&mut self, session: SessionId, serial: u64, command: Command) -> Outcome {
        let session = Some((session, Serial(serial)));
        let proposal = Proposal { session, ..self.proposal(self.id("ann"), command) };
        let applied = self.propose(&proposal);
        assert_eq!(applied.session, session);
        applied.outcome.expect("a command is answered")
    }
}

fn refused(outcome: Outcome) -> Rejection {
    match outcome {
        Outcome::Control(ControlResult::Rejected(why), _) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn old_answers_are_forgotten_and_said_to_be() {
    let mut story = Script::founded_by("ann");
    let session = story.opens_session();
    for serial in 1..=KEPT_RESULTS as u64 + 1 {
        story.within(session, serial, set("a", b""));
    }
    assert_eq!(refused(story.within(session, 1, set("a", b""))), Rejection::ForgottenSerial);
    assert!(matches!(story.within(session, 2, set("a", b"")), Outcome::User(..)));
}

#[test]
fn the_least_recently_used_session_makes_room() {
    let mut story = Script::founded_by("ann");
    let sessions: Vec<_> = (0..MAX_SESSIONS).map(|_| story.opens_session()).collect();
    story.within(sessions[0], 1, set("a", b""));
    story.opens_session();
    assert_eq!(story.state.sessions(), MAX_SESSIONS);
    assert!(matches!(story.within(sessions[0], 2, set("a", b"")), Outcome::User(..)));
    assert_eq!(refused(story.within(sessions[1], 1, set("a", b""))), Rejection::UnknownSession);
}

#[test]
fn a_huge_answer_is_given_once_and_not_kept() {
    #[derive(Clone)]
    struct Loud;
    impl StateMachine for Loud {
        fn apply(&mut self, _: Index, _: Term, _: &[u8]) -> Vec<u8> {
            vec![0; MAX_KEPT_RESULT_LEN + 1]
        }
        fn snapshot(&self) -> Vec<u8> {
            Vec::new()
        }
        fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
            Ok(())
        }
        fn digest(&self) -> Digest {
            Digest::default()
        }
    }
    let mut state = Replicated::found(genesis("ann"), Loud).unwrap();
    let mut apply = |session, command| {
        let proposal = Proposal {
            origin: MemberId(1),
            term: Term(1),
            stamp: Stamp::Elapsed { elapsed_ms: 0, wall_ms: 0 },
            session,
            issue: None,
            command,
        };
        let payload = Payload::Command(proposal.encode().into());
        state.apply(&Entry { index: state.applied().next(), term: Term(1), payload }).outcome.unwrap()
    };
    apply(None, Command::Control(C::SessionOpened));
    let once = Some((SessionId(2), Serial(1)));
    assert!(matches!(apply(once, Command::User(vec![])), Outcome::User(..)));
    assert_eq!(refused(apply(once, Command::User(vec![]))), Rejection::ForgottenSerial);
}

#[test]
fn unreadable_commands_are_answered_and_counted() {
    let mut story = Script::founded_by("ann");
    let good = story.proposal(MemberId(1), set("a", b"\x01")).encode();
    let mut trailing = good.clone();
    trailing.push(0);
    for bytes in
        [vec![], vec![255; 40], good[..good.len() - 1].to_vec(), trailing, vec![0; MAX_PROPOSAL_LEN + 1]]
    {
        let before = story.state.clone();
        let applied = story.append(Payload::Command(bytes.into()));
        assert!(matches!(why(&applied), Some(Rejection::Invalid(_))));
        assert_eq!((story.state.control(), story.state.user()), (before.control(), before.user()));
    }
    assert_eq!(story.state.unreadable(), 5);
}

#[test]
#[should_panic(expected = "in order, each once")]
fn an_entry_out_of_order_is_a_mistake_of_the_caller() {
    let mut state = Replicated::found(genesis("ann"), Entries::default()).unwrap();
    state.apply(&Entry { index: Index(3), term: Term(1), payload: Payload::Empty });
}
