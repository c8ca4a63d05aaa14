//! A member that alone votes asks the others before it leads.
//!
//! Nobody can refuse it a vote. So a disk from a time when its member alone voted would lead at once, and write a second
//! history beside that of the voters who came later. But a lone voter had every entry on its disk before it was committed:
//! whoever knows of a committed entry beyond the end of such a disk knows that it is an older copy.

use crate::heard_starts::Anomaly;
use crate::node::Node;
use rafty_consensus as consensus;
use rafty_types::{Hello, MemberId, Mutation, StateMachine, planted};
use std::time::Duration;

/// An answer counts for so long: three hellos.
const ANSWER_COUNTS_FOR: Duration = Duration::from_secs(6);

/// A lone voter that has not led yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    /// Who says that its disk is an older copy.
    pub(crate) doubted_by: Option<MemberId>,
}

/// What the others say of this start.
struct Answers {
    /// Somebody has not answered.
    missing: bool,
    /// Somebody says that it does not count.
    doubt: Option<MemberId>,
}

impl<U: StateMachine> Node<U> {
    /// At the start: when this member alone votes and knows others, it does not lead yet.
    pub(crate) fn ask_before_leading(&mut self) {
        let asks = self.votes_alone() && !self.starts.abstains() && !self.others().is_empty();
        if asks && !planted(Mutation::LoneVoterAsksNobody) {
            self.starts.ask(Asking { doubted_by: None });
            self.step(consensus::Input::Abstain);
        }
    }

    fn votes_alone(&self) -> bool {
        let membership = self.consensus.membership();
        membership.voters == [self.me] && !membership.is_joint()
    }

    /// Leads when all have answered that this start counts, or enough time was given to those that do not answer.
    pub(crate) fn lead_if_answered(&mut self) {
        let Some(asking) = self.starts.asking() else { return };
        if self.starts.abstains() {
            return self.starts.stop_asking();
        }
        if !self.votes_alone() {
            // Somebody else has led since.
            self.starts.stop_asking();
            return self.suspect_own_disk();
        }
        let Answers { missing, doubt } = self.answers_to_start();
        // A doubt ends only when whoever has it says so: its silence proves nothing.
        let taken_back =
            |by: &MemberId| self.starts.answer_of(*by, self.now, ANSWER_COUNTS_FOR) == Some(true);
        let doubt = asking.doubted_by.filter(|by| !taken_back(by)).or(doubt);
        if let Some(by) = doubt.filter(|_| asking.doubted_by != doubt) {
            self.tell_anomaly(self.me, &Anomaly::Doubted(by));
        }
        // Others may be switched off, and then it must lead without their answers.
        let waits = missing && !self.starts.repeats_over();
        if doubt.is_none() && !waits {
            self.starts.stop_asking();
            return self.step(consensus::Input::VoteAgain);
        }
        self.starts.ask(Asking { doubted_by: doubt });
    }

    fn answers_to_start(&self) -> Answers {
        let mut answers = Answers { missing: false, doubt: None };
        for member in self.others() {
            match self.starts.answer_of(member, self.now, ANSWER_COUNTS_FOR) {
                Some(true) => {}
                Some(false) => answers.doubt = answers.doubt.or(Some(member)),
                None => answers.missing = true,
            }
        }
        answers
    }

    /// Whether a member that alone votes, as it says, lacks what was committed.
    pub(crate) fn lacks_committed(&self, hello: &Hello) -> bool {
        hello.votes_alone && self.consensus.commit() > hello.last
    }
}
