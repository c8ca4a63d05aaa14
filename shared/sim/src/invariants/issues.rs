//! What members issue: nothing that nobody signed takes effect, and nothing does twice.

use crate::member::Process;
use crate::world::{FORGED, FORGED_PLACE, FORGED_TOKEN};
use rafty_types::{Index, MemberId};
use std::collections::{BTreeMap, BTreeSet};

/// What was seen of tokens.
#[derive(Default)]
pub struct Issues {
    /// The tokens that each member knew when it was looked at last, and as of when.
    known: BTreeMap<MemberId, (Index, BTreeSet<[u8; 16]>)>,
    /// Tokens that somebody knew and did not know any more as of this index.
    gone: BTreeMap<[u8; 16], Index>,
}

impl Issues {
    /// Another process or another state of a member: what it knew before is no measure.
    pub fn forget(&mut self, id: MemberId) {
        self.known.remove(&id);
    }

    /// A member has applied something.
    pub fn applied(&mut self, id: MemberId, process: &Process) {
        let control = process.node.state().control();
        nothing_forged_counts(id, process);
        let (now, tokens) = (process.node.state().applied(), control.tokens().keys().copied().collect());
        for token in &tokens {
            let back = self.gone.get(token).is_some_and(|gone| *gone < now);
            assert!(
                !back,
                "what was issued counts once: member {id} knows a token again that was used up, at {now}"
            );
        }
        if let Some((_, before)) = self.known.get(&id) {
            for token in before.difference(&tokens) {
                self.gone.entry(*token).or_insert(now);
            }
        }
        self.known.insert(id, (now, tokens));
    }
}

fn nothing_forged_counts(id: MemberId, process: &Process) {
    let control = process.node.state().control();
    let counts = control.feature_level() > 1
        || control.members().keys().any(|member| control.supported_by(*member) > 1)
        || control.tokens().contains_key(&FORGED_TOKEN)
        || control.runs().values().any(|run| run.spec.name == FORGED)
        || control.members().values().any(|member| member.addresses.contains(&FORGED_PLACE));
    assert!(!counts, "only what was issued counts: member {id} applied something that nobody signed");
}
