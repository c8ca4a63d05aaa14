//! A state leaves without credentials, and a new peer set begins with it.

use crate::script::*;
use rafty_dictionary::{Entries, FoundError, Replicated, RunStatus};
use rafty_types::ControlCommand as C;
use rafty_types::MemberKind::Agent;
use rafty_types::*;

/// A set with everything in it: a round under way, tokens, a client and a session.
fn busy() -> Script {
    let mut story = Script::founded_by("ann");
    story.joins("bob", Agent);
    story.submits("ann", 9);
    story.leads("ann");
    story.round_by("ann", "first");
    story.does("ann", story.open());
    story.does("ann", C::TokenCreated(token("ticket", Agent, 3)));
    story
}

fn new_set(first: Index) -> Genesis {
    let genesis = genesis("zoe");
    let founder = Member { id: MemberId(first.0), ..genesis.founder };
    Genesis { cluster: ClusterId([9; 16]), founder, ..genesis }
}

#[test]
fn a_backup_lets_nobody_in() {
    let mut story = busy();
    story.does("ann", C::ClientCreated(client("phone")));
    story.does("ann", C::SessionOpened);
    let backup = story.state.without_credentials();
    assert!(backup.control().tokens().is_empty() && backup.control().clients().is_empty());
    assert_eq!((backup.sessions(), story.state.sessions()), (0, 1));
    assert_eq!(backup.control().members(), story.state.control().members());
    assert_eq!((backup.user(), backup.applied()), (story.state.user(), story.state.applied()));
    let mut read = Replicated::new(Entries::default());
    read.restore(&backup.snapshot()).unwrap();
    assert_eq!(read.digest(), backup.digest());
}

#[test]
fn a_new_set_has_the_runs_and_entries_and_nobody_else() {
    let story = busy();
    let before = story.run().clone();
    let first = story.state.applied().next();
    let set = story.state.clone().founded_anew(new_set(first)).unwrap();
    assert_eq!(set.broken_invariant(), None);
    assert_eq!(set.applied(), first);
    assert_eq!(set.control().members().keys().collect::<Vec<_>>(), [&MemberId(first.0)]);
    assert_eq!(set.control().set(), SetId::first(ClusterId([9; 16])));
    assert!(set.control().tenure().is_none() && set.control().tokens().is_empty());
    assert_eq!((set.elapsed_ms(), set.user()), (0, story.state.user()));
    let run = set.control().active_run().expect("it goes on");
    assert!(before.open.is_some() && run.open.is_none(), "the round under way begins anew");
    assert_eq!(
        (run.status, run.version, &run.versions),
        (RunStatus::Active, before.version, &before.versions)
    );
    assert_eq!(run.history, before.history);

    let models = Replicated::<Entries>::models_in(&set.snapshot()).unwrap();
    assert_eq!(models.current, before.model);
    assert_eq!(models.all, before.versions.values().copied().collect());
}

#[test]
fn a_founder_stands_at_the_index_after_the_backup() {
    let story = busy();
    for wrong in [Index(1), story.state.applied()] {
        let error = story.state.clone().founded_anew(new_set(wrong)).map(drop);
        assert!(matches!(error, Err(FoundError::Genesis(_))), "{error:?}");
    }
}
