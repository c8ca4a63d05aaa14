//! Beginning tenures, and what a tenure fences off.

use crate::script::*;
use rafty_dictionary::{Event, KEPT_TENURES};
use rafty_types::ControlCommand as C;
use rafty_types::PeerRole::{Agent, Peer};
use rafty_types::*;

#[test]
fn a_tenure_is_named_by_its_entry_and_counted_for_its_holder() {
    let mut story = Script::founded_by("ann");
    story.term = Term(4);
    assert_eq!(story.does("ann", story.begin_with("ann", vec![7; 400])), [Event::TenureBegan]);
    let tenure = story.state.control().tenure().unwrap();
    assert_eq!((tenure.tenure.0, tenure.term), (story.state.applied().0, Term(4)));
    assert_eq!((tenure.member, tenure.key_id), (story.id("ann"), Digest::of(&[7; 400])));
    assert_eq!(story.member("ann").tenures, 1);
}

#[test]
fn a_tenure_begins_by_the_leader_itself_with_its_signature() {
    let mut story = Script::founded_by("ann");
    story.joins("bob", Peer);
    assert_eq!(story.cannot("ann", story.begin("bob")), Rejection::NotAllowed);
    let C::TenureBegan { member, rsa_public, .. } = story.begin("ann") else { panic!() };
    let signature = sign("bob", &tenure_statement(CLUSTER, member, &rsa_public));
    assert_eq!(
        story.cannot("ann", C::TenureBegan { member, rsa_public, signature }),
        Rejection::BadSignature
    );
    assert!(matches!(story.cannot("ann", story.begin_with("ann", vec![])), Rejection::Invalid(_)));
    assert!(matches!(story.cannot("ann", story.begin_with("ann", vec![1; 601])), Rejection::Invalid(_)));
    let late =
        Proposal { term: Term(0), ..story.proposal(story.id("ann"), Command::Control(story.begin("ann"))) };
    assert_eq!(story.refuses(&late), Rejection::Deposed);
}

#[test]
fn one_term_has_one_leader_which_may_renew_its_tenure() {
    let mut story = Script::founded_by("ann");
    story.joins("bob", Peer);
    let first = story.leads("ann");
    assert_eq!(story.cannot("bob", story.begin("bob")), Rejection::Deposed);
    story.does("ann", story.begin("ann"));
    assert!(story.tenure() > first);
    assert_eq!(story.member("ann").tenures, 2);
}

#[test]
fn no_key_serves_twice() {
    let mut story = Script::founded_by("ann");
    story.joins("bob", Peer);
    story.does("ann", story.begin_with("ann", vec![1]));
    story.does("ann", story.begin_with("ann", vec![2]));
    assert_eq!(story.cannot("ann", story.begin_with("ann", vec![1])), Rejection::Duplicate);
    assert_eq!(story.cannot("ann", story.begin_with("ann", rsa_of("bob"))), Rejection::Duplicate);
}

#[test]
fn who_may_not_lead_begins_no_tenure_unless_nobody_may() {
    let mut story = Script::founded_by("ann");
    let watcher = TokenRecord { may_lead: false, ..token("watcher", Agent, 1) };
    story.does("ann", C::TokenCreated(watcher.clone()));
    story.does("ann", C::Enrol(enrolment("wes", &watcher, "watcher", 1)));
    story.knows("wes");
    story.does("ann", story.seat(Some("wes"), None));
    assert_eq!(story.cannot("wes", story.begin("wes")), Rejection::NotAllowed);
    story.does("ann", story.revoke("ann"));
    story.does("wes", story.begin("wes"));
}

#[test]
fn a_deposed_aggregator_changes_nothing() {
    let mut story = Script::founded_by("ann");
    story.joins("bob", Peer);
    story.submits("ann", 3);
    story.leads("ann");
    story.does("ann", story.open());
    story.does("ann", story.accept("ann", "u"));
    let late = [
        story.accept("bob", "v"),
        C::RoundPublished(story.publication(&[("ann", "u")], "m")),
        story.fail("too slow"),
    ];

    // Its entries of its own term no longer count once another term's tenure has begun, whatever they claim.
    story.leads("bob");
    for command in late.clone() {
        assert_eq!(story.cannot("ann", command.clone()), Rejection::Deposed);
        let backdated =
            Proposal { term: Term(2), ..story.proposal(story.id("ann"), Command::Control(command)) };
        assert_eq!(story.refuses(&backdated), Rejection::Deposed);
    }
    // Nor do commands of the right tenure that another member issues, or that were proposed in another term.
    assert_eq!(story.cannot("ann", story.accept("ann", "u")), Rejection::Deposed);
    let old_term = Proposal {
        term: Term(2),
        ..story.proposal(story.id("bob"), Command::Control(story.accept("ann", "u")))
    };
    assert_eq!(story.refuses(&old_term), Rejection::Deposed);
    // And the tenure is worth nothing to its holder in a later term.
    story.term = story.term.next();
    assert_eq!(story.cannot("bob", story.accept("ann", "u")), Rejection::Deposed);
}

#[test]
fn a_new_tenure_is_the_next_attempt_of_an_open_round_and_keeps_the_time_spent() {
    let mut story = Script::founded_by("ann");
    story.joins("bob", Peer);
    story.submits("ann", 3);
    story.leads("ann");
    story.does("ann", story.open());
    story.does("ann", story.accept("ann", "u"));
    let tenure = story.leads("bob");
    let open = story.run().open.as_ref().unwrap();
    assert_eq!((open.attempt, open.tenure, open.collected_ms, open.failed), (Attempt(2), tenure, 1_000, 0));
    assert!(open.accepted.is_empty());
    story.does("bob", story.accept("ann", "u"));
    let publication = story.publication(&[("ann", "u")], "m");
    story.does("bob", C::RoundPublished(publication));
    let history = story.state.control().tenure_history();
    assert_eq!(history.iter().map(|past| past.rounds_published).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn the_memory_of_tenures_is_bounded() {
    let mut story = Script::founded_by("ann");
    for _ in 0..KEPT_TENURES + 3 {
        story.does("ann", story.begin("ann"));
    }
    assert_eq!(story.state.control().tenure_history().len(), KEPT_TENURES);
    assert_eq!(story.state.control().tenure_history().back().unwrap().tenure, story.tenure());
}
