//! Beginning tenures, and what a tenure fences off.

use crate::script::*;
use rafty_dictionary::KEPT_TENURES;
use rafty_types::MemberKind::Operator;
use rafty_types::*;

#[test]
fn a_tenure_begins_by_the_leader_itself_with_its_signature() {
    let mut story = Script::founded_by("ann");
    story.joins("bob", Operator);
    assert_eq!(story.cannot("ann", story.begin("bob")), Rejection::NotAllowed);
    let (ann, begin) = (story.id("ann"), Command::Control(story.begin("ann")));
    let issue = story.issue_signed_by("bob", ann, &begin);
    let forged = Proposal { issue, ..story.proposal(ann, begin) };
    assert_eq!(story.refuses(&forged), Rejection::BadSignature);
    assert!(matches!(story.cannot("ann", story.begin_with("ann", vec![])), Rejection::Invalid(_)));
    assert!(matches!(story.cannot("ann", story.begin_with("ann", vec![1; 300])), Rejection::Invalid(_)));
    let late =
        Proposal { term: Term(0), ..story.proposal(story.id("ann"), Command::Control(story.begin("ann"))) };
    assert_eq!(story.refuses(&late), Rejection::Deposed);
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
