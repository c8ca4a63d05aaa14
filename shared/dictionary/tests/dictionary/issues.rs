//! What members issue: by their own signatures, each once, and soon.

use crate::script::*;
use rafty_dictionary::{KEPT_ISSUES, MAX_ISSUE_AGE_MS, Outcome};
use rafty_types::ControlCommand as C;
use rafty_types::MemberKind::{Agent, Operator};
use rafty_types::*;

fn ticket(name: &str) -> Command {
    Command::Control(C::TokenCreated(token(name, Operator, 1)))
}

#[test]
fn whoever_the_leader_says_it_is_of_a_command_counts_by_its_issuers_signature() {
    let mut story = Script::founded_by("ann");
    let bob = story.joins("bob", Agent);
    let ann = story.id("ann");
    let unsigned = Proposal { issue: None, ..story.proposal(ann, ticket("t")) };
    assert_eq!(story.refuses(&unsigned), Rejection::BadSignature);
    let forged = Proposal { issue: story.issue_signed_by("bob", ann, &ticket("t")), ..unsigned.clone() };
    assert_eq!(story.refuses(&forged), Rejection::BadSignature);
    let own = Proposal { issue: story.issue(bob, &ticket("t")), ..unsigned.clone() };
    assert_eq!(story.refuses(&own), Rejection::NotAllowed, "a device makes no tokens");
    let of_another = Proposal { issue: story.issue(ann, &ticket("other")), ..unsigned };
    assert_eq!(story.refuses(&of_another), Rejection::BadSignature);
    let carried = Proposal { issue: story.issue(ann, &ticket("t")), ..story.proposal(bob, ticket("t")) };
    assert_eq!(why(&story.propose(&carried)), None, "whoever carries it");
}

#[test]
fn a_command_counts_once_in_whatever_order_and_is_answered_as_the_first_time() {
    let mut story = Script::founded_by("ann");
    let ann = story.id("ann");
    let first = story.proposal(ann, ticket("first"));
    story.append(Payload::Empty);
    let second = story.proposal(ann, ticket("second"));
    story.append(Payload::Empty);
    let refused = story.proposal(ann, Command::Control(C::RunStopped { run: RunId(9) }));
    let answers: Vec<_> = [&second, &first, &refused].map(|proposal| story.propose(proposal).outcome).into();
    assert!(matches!(answers[2], Some(Outcome::Control(ControlResult::Rejected(Rejection::UnknownRun), _))));
    let before = story.state.control().clone();
    for (proposal, answer) in [&second, &first, &refused].into_iter().zip(&answers) {
        assert_eq!(story.propose(proposal).outcome, *answer);
    }
    assert_eq!(story.state.control(), &before);
    let (again, other) = (first.issue.expect("it is issued"), C::TokenCreated(token("third", Operator, 1)));
    let issue = Some(again.signed(&Key(signing_key("ann")), SetId::first(CLUSTER), &other));
    let taken = Proposal { issue, ..story.proposal(ann, Command::Control(other)) };
    assert_eq!(story.refuses(&taken), Rejection::SerialTaken);
}

#[test]
fn what_was_issued_long_ago_does_not_count() {
    let mut story = Script::founded_by("ann");
    let ann = story.id("ann");
    let early = story.proposal(ann, ticket("early"));
    let late = Proposal {
        stamp: Stamp::Elapsed { elapsed_ms: START_MS + MAX_ISSUE_AGE_MS + 1, wall_ms: 0 },
        ..early.clone()
    };
    assert_eq!(story.clone().refuses(&late), Rejection::TooLate);
    let in_time = Proposal {
        stamp: Stamp::Elapsed { elapsed_ms: START_MS + MAX_ISSUE_AGE_MS, wall_ms: 0 },
        ..early.clone()
    };
    assert_eq!(why(&story.propose(&in_time)), None);
    assert_eq!(
        why(&story.propose(&late)),
        None,
        "it counted, and is answered so for as long as that is kept"
    );
    for _ in 0..KEPT_ISSUES {
        story.now_ms += MAX_ISSUE_AGE_MS;
        story.does("ann", story.begin("ann"));
    }
    assert_eq!(story.refuses(&late), Rejection::ForgottenSerial);
}

#[test]
fn nothing_is_kept_of_whoever_has_gone() {
    let mut story = Script::founded_by("ann");
    let bob = story.joins("bob", Operator);
    story.does("bob", C::AddressChanged { member: bob, addresses: vec![address(5)] });
    let leaving = story.proposal(bob, Command::Control(story.revoke("bob")));
    assert_eq!(why(&story.propose(&leaving)), None);
    assert_eq!(story.refuses(&leaving), Rejection::NotAllowed);
    let mut copy = rafty_dictionary::Replicated::new(rafty_dictionary::Entries::default());
    copy.restore(&story.state.snapshot()).expect("a sound state");
    assert_eq!(copy.digest(), story.state.digest());
}

#[test]
fn all_programs_agree_which_bytes_are_a_proposal_at_the_level_of_the_set() {
    let mut story = Script::founded_by("ann");
    let ann = story.id("ann");
    let proposal = story.proposal(ann, set("a", b"\x01"));
    let bytes = proposal.encode();
    assert_eq!(Proposal::decode(&bytes, 1).as_ref(), Some(&proposal));
    let of_level = |level: u8| [&[level], &bytes[1..]].concat();
    for level in [0, 2, 200] {
        let unreadable = story.append(Payload::Command(of_level(level).into()));
        assert!(matches!(why(&unreadable), Some(Rejection::Invalid(_))), "level {level}");
    }
    assert_eq!(story.state.user().get(b"a"), None);
    assert_eq!(Proposal::decode(&of_level(2), 2), None, "a command of level 1 is not of level 2");
}
