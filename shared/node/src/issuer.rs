//! What this member issues: its own word on commands that no leader's word is enough for.

use crate::node::Node;
use rafty_types::{ControlCommand, Issue, IssueSerial, Sign, Signature, StateMachine};
use std::sync::Arc;

pub(crate) struct Issuer {
    signer: Arc<dyn Sign>,
    last: IssueSerial,
}

impl Issuer {
    /// `incarnation` is on the disk before this member says anything, so that no number serves twice.
    pub(crate) fn new(signer: Arc<dyn Sign>, incarnation: u64) -> Self {
        Self { signer, last: IssueSerial { incarnation, count: 0 } }
    }

    /// A number above all that were used: a disk that was restored may have forgotten some of its starts.
    fn next(&mut self, used: IssueSerial) -> IssueSerial {
        self.last = self.last.max(used);
        self.last.count += 1;
        self.last
    }
}

impl<U: StateMachine> Node<U> {
    /// This member's word that it wants `command` now.
    pub(crate) fn issue(&mut self, command: &ControlCommand) -> Issue {
        let (by, set) = (self.me, self.state.control().set());
        let (seen, seen_ms) = (self.state.applied(), self.elapsed_ms());
        let (serial, signature) = (self.issuer.next(self.state.last_issue(by)), Signature::default());
        let issue = Issue { by, serial, seen, seen_ms, signature };
        issue.signed(&*self.issuer.signer, set, command)
    }
}
