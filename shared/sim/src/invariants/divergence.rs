//! Members whose state has diverged stop, and nobody else does.

use crate::member::Process;
use rafty_types::{Index, MemberId};
use std::collections::{BTreeMap, BTreeSet};

/// Marks at which a majority agreed since a rotten member started: it has digested one of them. Two that it hurries past
/// when it was away are not digested.
const MARKS: usize = 6;

/// Members that run on a rotten state.
#[derive(Default)]
pub struct Divergences(BTreeMap<MemberId, Rotten>);

struct Rotten {
    /// What its snapshot was of, at the start.
    from: Index,
    /// As of which marks it saw a majority agree.
    agreed: BTreeSet<Index>,
}

impl Divergences {
    /// A member starts from its disk.
    pub fn started(&mut self, id: MemberId, process: &Process) {
        let rotten = Rotten { from: process.node.state().applied(), agreed: BTreeSet::new() };
        self.0.insert(id, rotten);
    }

    /// Who diverged stops, and nobody else: one whose state is that of its log never ends because of what others signed,
    /// and one whose state is not goes on only as long as no majority has told it.
    pub fn who_diverged_stops(&mut self, id: MemberId, process: &Process) {
        let (state, diverged) = (process.node.state(), process.node.has_diverged());
        let Some(rotten) = self.0.get_mut(&id) else { return };
        if state.user().rot == 0 {
            rotten.agreed.clear();
            assert!(!diverged, "only who diverged stops: member {id} has the state that its log leads to");
        } else if let Some((mark, _)) = state.control().divergence().agreed().filter(|_| !diverged) {
            rotten.agreed.extend((mark > rotten.from).then_some(mark));
            let told = rotten.agreed.len();
            assert!(told < MARKS, "who diverged stops: member {id} goes on, told {told} times that it has");
        }
    }
}
