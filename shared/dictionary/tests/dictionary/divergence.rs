//! Marks, what voters sign of their states, and whose state is found to have diverged.

use crate::script::*;
use rafty_dictionary::{Divergence, MARK_EVERY_MS};
use rafty_types::ControlCommand as C;
use rafty_types::MemberKind::Operator;
use rafty_types::*;
use std::collections::BTreeMap;

const VOTERS: [&str; 3] = ["ann", "bob", "cid"];

/// Three voters, and a mark.
fn three() -> Script {
    let mut story = Script::founded_by("ann");
    for name in &VOTERS[1..] {
        story.joins(name, Operator);
    }
    let give = vec![story.id("bob"), story.id("cid")];
    story.does("ann", C::SeatChanged { give, take: Vec::new() });
    story.does("ann", story.begin("ann"));
    assert_eq!(divergence(&story).mark(), Some(story.state.applied()));
    story
}

fn divergence(story: &Script) -> &Divergence {
    story.state.control().divergence()
}

fn signed(story: &Script, who: &str, mark: Index, state: &str) -> SignedDigest {
    let (member, digest) = (story.id(who), digest(state));
    let statement = state_digest_statement(story.state.control().set(), member, mark, digest);
    SignedDigest { member, digest, signature: sign(who, &statement) }
}

/// What the members say of the open mark.
fn say(story: &Script, what: &[(&str, &str)]) -> ControlCommand {
    let mark = divergence(story).mark().expect("a mark");
    C::StateDigestsRecorded {
        mark,
        digests: what.iter().map(|(who, state)| signed(story, who, mark, state)).collect(),
    }
}

/// A tenure begins, so much later.
fn later(story: &mut Script, ms: u64) {
    story.now_ms += ms;
    story.does("ann", story.begin("ann"));
}

#[test]
fn a_majority_that_signed_one_digest_tells_who_has_diverged() {
    let mut story = three();
    let mark = divergence(&story).mark().expect("a mark");
    story.does("ann", say(&story, &[("ann", "right")]));
    assert_eq!(divergence(&story).agreed(), None, "one of three");
    story.does("ann", say(&story, &[("cid", "wrong")]));
    let sides =
        BTreeMap::from([(digest("right"), vec![story.id("ann")]), (digest("wrong"), vec![story.id("cid")])]);
    assert_eq!(divergence(&story).sides(), Some((mark, sides)));
    assert!(divergence(&story).diverged().is_empty(), "one against one");
    story.does("ann", say(&story, &[("bob", "right")]));
    assert_eq!(divergence(&story).agreed(), Some((mark, digest("right"))));
    assert_eq!(*divergence(&story).diverged(), BTreeMap::from([(story.id("cid"), mark)]));
    assert_eq!(divergence(&story).sides(), None);

    // Until it has the same again, or is gone.
    later(&mut story, MARK_EVERY_MS);
    story.does("ann", say(&story, &[("ann", "next"), ("bob", "next")]));
    assert_eq!(divergence(&story).diverged().len(), 1, "it has not said anything");
    story.does("ann", say(&story, &[("cid", "next")]));
    assert!(divergence(&story).diverged().is_empty());
}

#[test]
fn who_has_diverged_is_forgotten_with_the_member() {
    let mut story = three();
    story.does("ann", say(&story, &[("ann", "right"), ("bob", "right"), ("cid", "wrong")]));
    story.does("ann", story.revoke("cid"));
    assert!(divergence(&story).diverged().is_empty());
}

#[test]
fn whoever_has_gone_is_not_judged_by_what_others_sign_later() {
    let mut story = three();
    story.does("ann", say(&story, &[("ann", "right"), ("cid", "wrong")]));
    story.does("ann", story.revoke("cid"));
    assert_eq!(divergence(&story).sides(), None);
    story.does("ann", say(&story, &[("bob", "right")]));
    assert_eq!(divergence(&story).agreed().map(|(_, agreed)| agreed), Some(digest("right")));
    assert!(divergence(&story).diverged().is_empty());
    assert_eq!(story.state.broken_invariant(), None);
}

#[test]
fn nobody_is_judged_by_one_member_however_few_vote() {
    let mut story = Script::founded_by("ann");
    story.joins("bob", Operator);
    story.does("ann", story.begin("ann"));
    assert_eq!(divergence(&story).mark(), None, "a lone voter has nobody to compare its state with");
    let mut story = three();
    story.does("ann", say(&story, &[("ann", "wrong")]));
    assert_eq!((divergence(&story).agreed(), divergence(&story).diverged().len()), (None, 0));
}

#[test]
fn without_a_majority_the_sides_are_named_until_one_agrees_again() {
    let mut story = three();
    let mark = divergence(&story).mark().expect("a mark");
    story.does("ann", say(&story, &[("ann", "a"), ("bob", "b"), ("cid", "c")]));
    later(&mut story, MARK_EVERY_MS);
    let sides = divergence(&story).sides().expect("nothing was found out since");
    assert_eq!((sides.0, sides.1.len()), (mark, 3));
    story.does("ann", say(&story, &[("ann", "same"), ("bob", "same")]));
    assert_eq!(divergence(&story).sides(), None);
}

#[test]
fn a_mark_waits_for_those_that_voted_but_not_for_ever_and_not_for_whoever_has_gone() {
    let mut story = three();
    let mark = divergence(&story).mark();
    story.does("ann", say(&story, &[("ann", "a"), ("bob", "a")]));
    for _ in 0..3 {
        later(&mut story, MARK_EVERY_MS);
        assert_eq!(divergence(&story).mark(), mark);
    }
    later(&mut story, 1);
    let second = divergence(&story).mark();
    assert_ne!(second, mark, "after four tenures");
    story.does("ann", say(&story, &[("ann", "a"), ("bob", "a"), ("cid", "a")]));
    later(&mut story, MARK_EVERY_MS - 1);
    assert_eq!(divergence(&story).mark(), second, "so soon");
    later(&mut story, 1);
    let third = divergence(&story).mark();
    assert_ne!(third, second);
    story.does("ann", say(&story, &[("ann", "a"), ("bob", "a")]));
    story.joins("dan", Operator);
    story.does("ann", story.revoke("cid"));
    later(&mut story, MARK_EVERY_MS);
    assert_ne!(divergence(&story).mark(), third);
}

#[test]
fn only_what_a_voter_signed_itself_about_the_open_mark_is_recorded() {
    let mut story = three();
    story.joins("dan", Operator);
    let mark = divergence(&story).mark().expect("a mark");
    let record = |digests| C::StateDigestsRecorded { mark, digests };
    let ann = signed(&story, "ann", mark, "right");
    let forged = SignedDigest { digest: digest("wrong"), ..ann.clone() };
    assert_eq!(story.cannot("ann", record(vec![forged])), Rejection::BadSignature);
    let elsewhere =
        SignedDigest { signature: signed(&story, "ann", Index(2), "right").signature, ..ann.clone() };
    assert_eq!(story.cannot("ann", record(vec![elsewhere])), Rejection::BadSignature);
    let bob = signed(&story, "bob", mark, "right");
    let learner = signed(&story, "dan", mark, "right");
    for wrong in [vec![], vec![learner], vec![ann.clone(), ann.clone()], vec![bob, ann.clone()]] {
        assert!(matches!(story.cannot("ann", record(wrong)), Rejection::Invalid(_)));
    }
    let late = C::StateDigestsRecorded { mark: Index(mark.0 - 1), digests: vec![ann] };
    assert!(matches!(story.cannot("ann", late), Rejection::Invalid(_)));
    // The first that it signed counts.
    story.does("ann", say(&story, &[("ann", "right"), ("bob", "right")]));
    story.does("ann", say(&story, &[("ann", "wrong")]));
    assert_eq!(divergence(&story).agreed(), Some((mark, digest("right"))));
    assert!(divergence(&story).diverged().is_empty());
    assert_eq!(
        story.cannot("bob", say(&story, &[("cid", "right")])),
        Rejection::Deposed,
        "only the leader records"
    );
}
