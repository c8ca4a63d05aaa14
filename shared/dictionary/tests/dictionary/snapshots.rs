//! The state in bytes: kept, pinned, and refused when it is not ours.

use crate::script::*;
use rafty_dictionary::{Entries, Replicated};
use rafty_types::ControlCommand as C;
use rafty_types::MemberKind::Agent;
use rafty_types::*;

fn a_story() -> Script {
    let mut story = Script::founded_by("ann");
    story.joins("bob", Agent);
    story.does("ann", C::ClientCreated(client("phone")));
    story.does("ann", C::SessionOpened);
    let session = Some((SessionId(story.state.applied().0), Serial(1)));
    story.propose(&Proposal { session, ..story.proposal(MemberId(1), set("colour", b"\xa4blue")) });
    story.submits("ann", 3);
    story.leads("ann");
    story.round_by("ann", "m1");
    story.does("ann", story.open());
    story.does("ann", story.accept("bob", "u"));
    story
}

/// A change of this digest means that members of two versions cannot share a peer set: raise the format and the
/// feature level, or take the change back.
#[test]
fn the_form_of_the_state_is_pinned() {
    assert_eq!(Digest::of(&a_story().state.snapshot()).short(), "bcc17066a02a");
}

#[test]
fn a_snapshot_cut_anywhere_changes_nothing() {
    let snapshot = a_story().state.snapshot();
    let mut state = Script::founded_by("bob").state;
    let before = state.digest();
    let user_part = 1 + 8 + "colour".len() + 5;
    for end in 0..snapshot.len() {
        // Without any entry, the user machine's part is whole again.
        if end != snapshot.len() - user_part + 1 {
            assert!(state.restore(&snapshot[..end]).is_err(), "cut at {end}");
            assert_eq!(state.digest(), before);
        }
    }
}

#[test]
fn a_snapshot_of_another_program_or_version_is_refused_with_a_reason() {
    let snapshot = a_story().state.snapshot();
    let mut state = Replicated::new(Entries::default());
    let mut with = |at: usize, byte: u8| {
        let mut bytes = snapshot.clone();
        bytes[at] = byte;
        state.restore(&bytes).unwrap_err().0
    };
    assert!(with(0, b'?').contains("not a state"));
    assert!(with(8, 99).contains("another version"));
    assert!(with(12, 0).contains("cannot be read"));
    assert!(with(19, 1).contains("cut short"));
}

#[test]
fn a_snapshot_that_no_log_leads_to_is_refused() {
    let story = Script::founded_by("ann");
    let snapshot = story.state.snapshot();
    // Applied 1, now 0, the cluster's 16 bytes: an applied index of 0 lies before the founder.
    let mut early = snapshot.clone();
    early[20] = 0;
    let mut state = Replicated::new(Entries::default());
    assert!(state.restore(&early).unwrap_err().0.contains("ahead of the applied index"));
    assert!(!state.control().initialised());
}
