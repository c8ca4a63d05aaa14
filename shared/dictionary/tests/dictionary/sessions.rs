//! A command proposed twice counts once.

use crate::script::*;
use rafty_dictionary::{Entries, KEPT_RESULTS, MAX_KEPT_RESULT_LEN, MAX_SESSIONS, Outcome, Replicated};
use rafty_types::ControlCommand as C;
use rafty_types::*;

impl Script {
    fn opens_session(&mut self) -> SessionId {
        self.opens_session_of("ann", None)
    }

    /// A client's, or one of a program on the member's own machine.
    fn opens_session_of(&mut self, member: &str, client: Option<ClientId>) -> SessionId {
        let opens = self.proposal(self.id(member), Command::Control(C::SessionOpened));
        assert_eq!(why(&self.propose(&Proposal { client, ..opens })), None);
        SessionId(self.state.applied().0)
    }

    fn within(&mut self, session: SessionId, serial: u64, command: Command) -> Outcome {
        self.within_of("ann", None, session, serial, command)
    }

    fn within_of(
        &mut self,
        member: &str,
        client: Option<ClientId>,
        session: SessionId,
        serial: u64,
        command: Command,
    ) -> Outcome {
        let session = Some((session, Serial(serial)));
        let proposal = Proposal { session, client, ..self.proposal(self.id(member), command) };
        let applied = self.propose(&proposal);
        assert_eq!(applied.session, session);
        applied.outcome.expect("a command is answered")
    }

    fn closes(&mut self, member: &str, client: Option<ClientId>, session: SessionId) -> Option<Rejection> {
        let closes = self.proposal(self.id(member), Command::Control(C::SessionClosed { session }));
        why(&self.propose(&Proposal { client, ..closes }))
    }

    fn lets_in(&mut self, name: &str) -> ClientId {
        self.does("ann", C::ClientCreated(client(name)));
        client(name).id
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
fn a_session_is_its_owners() {
    let mut story = Script::founded_by("ann");
    story.joins("bob", MemberKind::Agent);
    let (phone, lamp) = (story.lets_in("phone"), story.lets_in("lamp"));
    let owners = [("ann", None), ("bob", None), ("ann", Some(phone)), ("ann", Some(lamp))];
    for owner in owners {
        let session = story.opens_session_of(owner.0, owner.1);
        for (member, client) in owners.into_iter().filter(|other| *other != owner) {
            let stolen = story.within_of(member, client, session, 1, set("stolen", b""));
            assert_eq!(refused(stolen), Rejection::UnknownSession, "{member} with {client:?}");
            assert_eq!(story.closes(member, client, session), Some(Rejection::UnknownSession));
        }
        let own = story.within_of(owner.0, owner.1, session, 1, set("own", b""));
        assert!(matches!(own, Outcome::User(..)), "{owner:?}: {own:?}");
        assert_eq!(story.closes(owner.0, owner.1, session), None);
    }
    assert_eq!(story.state.user().get(b"stolen"), None);
}

#[test]
fn a_clients_session_goes_on_by_way_of_another_member_and_a_programs_does_not() {
    let mut story = Script::founded_by("ann");
    story.joins("bob", MemberKind::Agent);
    let phone = Some(story.lets_in("phone"));
    let session = story.opens_session_of("ann", phone);
    let first = story.within_of("ann", phone, session, 1, set("a", b""));
    let again = story.within_of("bob", phone, session, 1, set("a", b""));
    assert_eq!(first, again, "it counts once");
    let session = story.opens_session_of("ann", None);
    story.within(session, 1, set("a", b""));
    let again = story.within_of("bob", None, session, 1, set("a", b""));
    assert_eq!(refused(again), Rejection::UnknownSession);
}

#[test]
fn a_serial_that_comes_again_with_another_command_is_refused() {
    let mut story = Script::founded_by("ann");
    let session = story.opens_session();
    let first = story.within(session, 1, set("a", b"1"));
    assert_eq!(refused(story.within(session, 1, set("a", b"2"))), Rejection::SerialReused);
    let control = Command::Control(C::SessionOpened);
    assert_eq!(refused(story.within(session, 1, control)), Rejection::SerialReused);
    assert_eq!(story.within(session, 1, set("a", b"1")), first);
    assert_eq!(story.state.user().get(b"a"), Some(&b"1"[..]));
}

#[test]
fn whoever_has_most_sessions_gives_room_for_new_ones() {
    let mut story = Script::founded_by("ann");
    story.joins("bob", MemberKind::Agent);
    let (phone, lamp) = (Some(story.lets_in("phone")), Some(story.lets_in("lamp")));
    let few = [("ann", None), ("ann", phone), ("bob", lamp)];
    let few = few.map(|(member, client)| (member, client, story.opens_session_of(member, client)));
    let bobs: Vec<_> = (0..=MAX_SESSIONS).map(|_| story.opens_session_of("bob", None)).collect();
    assert_eq!(story.state.sessions(), MAX_SESSIONS);
    for (member, client, session) in few {
        let own = story.within_of(member, client, session, 1, set("a", b""));
        assert!(matches!(own, Outcome::User(..)), "{member} with {client:?}: {own:?}");
    }
    let mut knows = |session| {
        let answer = story.within_of("bob", None, session, 1, set("a", b""));
        matches!(answer, Outcome::User(..))
    };
    assert!(!knows(bobs[3]) && knows(bobs[4]), "the least recently used ones");
}

#[test]
fn whoever_is_gone_keeps_no_room() {
    let mut story = Script::founded_by("ann");
    story.joins("bob", MemberKind::Agent);
    let phone = Some(story.lets_in("phone"));
    for (member, client) in [("ann", phone), ("bob", None)] {
        for _ in 0..400 {
            story.opens_session_of(member, client);
        }
    }
    story.does("ann", C::ClientRevoked { name: "phone".into() });
    story.does("ann", story.revoke("bob"));
    let anns: Vec<_> = (0..MAX_SESSIONS).map(|_| story.opens_session()).collect();
    assert_eq!(story.state.sessions(), MAX_SESSIONS);
    assert!(matches!(story.within(anns[0], 1, set("a", b"")), Outcome::User(..)));
}

#[test]
fn a_client_that_nobody_made_opens_no_session() {
    let mut story = Script::founded_by("ann");
    let opens = story.proposal(story.id("ann"), Command::Control(C::SessionOpened));
    assert_eq!(story.refuses(&Proposal { client: Some([9; 16]), ..opens }), Rejection::UnknownClient);
    assert_eq!(story.state.sessions(), 0);
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
            client: None,
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
