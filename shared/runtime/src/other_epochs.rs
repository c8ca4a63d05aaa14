//! Members that are in another epoch of the peer set: what is said of them. They are kept apart by the network.

use crate::machine::UserMachine;
use crate::shell::Shell;
use rafty_types::{Epoch, EpochRelation, MemberId};

impl<U: UserMachine> Shell<U> {
    /// A member was met that is in another epoch. It is met again every second and told once.
    pub(crate) fn met_other_epoch(&mut self, member: MemberId, epoch: Epoch) {
        if self.other_epochs.insert(member, epoch) != Some(epoch) {
            self.narrator.say(&other_epoch(self.context.set.epoch, member, epoch));
        }
    }

    pub(crate) fn other_epochs(&self) -> Vec<String> {
        let own = self.context.set.epoch;
        self.other_epochs.iter().map(|(member, epoch)| other_epoch(own, *member, *epoch)).collect()
    }
}

fn other_epoch(own: Epoch, member: MemberId, other: Epoch) -> String {
    match own.relation(other) {
        EpochRelation::Newer => format!(
            "member {member} is in epoch {other} and this one in {own}: the set was recovered without this member, and \
             nothing from it counts there; to bring it back with its data and identity, stop it and run `rejoin` here"
        ),
        EpochRelation::Older => format!(
            "member {member} is still in epoch {other}, before this set was recovered as {own}: nothing from it counts \
             here; to bring it back with its data and identity, stop it and run `rejoin` there"
        ),
        EpochRelation::Fork | EpochRelation::Same => format!(
            "member {member} belongs to another branch of the set: it is in epoch {other} and this one in {own}; two \
             members were recovered apart, and nothing from it counts here; keep one branch, and on each member of the \
             other run `rejoin --abandon-branch`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rafty_types::ClusterId;

    #[test]
    fn each_side_is_told_what_to_do() {
        let first = Epoch::first(ClusterId([7; 16]));
        let (one, other) = (first.recovered([1; 16]), first.recovered([2; 16]));
        let told = |own, other| other_epoch(own, MemberId(3), other);
        assert!(told(first, one).contains("recovered without this member"), "{}", told(first, one));
        assert!(told(one, first).contains("run `rejoin` there"), "{}", told(one, first));
        for (own, other) in [(one, other), (other, one)] {
            assert!(told(own, other).contains("another branch of the set"), "{}", told(own, other));
        }
    }
}
