//! Epochs: which line of history of a peer set something belongs to.
//!
//! A peer set that lost its majority goes on in a new epoch, made by an operator on one survivor. Whatever is signed or
//! sealed names its epoch, so nothing of the abandoned history counts in the new one.

use crate::ClusterId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One line of history of a peer set. Equal numbers with other bits are a fork: two survivors were recovered apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// How many recoveries led to it; 0 for the founder's.
    pub number: u64,
    /// Random; of epoch 0 derived from the cluster id, which is random itself.
    #[serde(with = "crate::hex")]
    pub bits: [u8; 16],
    /// The bits of the epoch it was recovered from; all zero for epoch 0.
    #[serde(with = "crate::hex")]
    pub parent: [u8; 16],
}

/// How another epoch relates to one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochRelation {
    /// It is the same.
    Same,
    /// It comes after one's own: the set was recovered without this member.
    Newer,
    /// It comes before one's own: the other one was not there when the set was recovered.
    Older,
    /// It has the same number, or the same distance shows another parent: two members were recovered apart.
    Fork,
}

impl Epoch {
    /// The epoch in which a peer set is founded.
    pub fn first(cluster: ClusterId) -> Self {
        let digest = blake3::Hasher::new_derive_key("rafty epoch 0 v1").update(&cluster.0).finalize();
        let mut bits = [0; 16];
        bits.copy_from_slice(&digest.as_bytes()[..16]);
        Self { number: 0, bits, parent: [0; 16] }
    }

    /// The epoch that a recovery makes of this one. `bits` are fresh random bits.
    #[must_use]
    pub fn recovered(self, bits: [u8; 16]) -> Self {
        Self { number: self.number.saturating_add(1), bits, parent: self.bits }
    }

    /// What `other` is to this one. Of epochs more than one apart only the numbers can be compared.
    pub fn relation(self, other: Self) -> EpochRelation {
        if self == other {
            return EpochRelation::Same;
        }
        if other.number == self.number {
            return EpochRelation::Fork;
        }
        let (old, new) = if other.number > self.number { (self, other) } else { (other, self) };
        match new.number - old.number {
            1 if new.parent != old.bits => EpochRelation::Fork,
            _ if new == other => EpochRelation::Newer,
            _ => EpochRelation::Older,
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.number)?;
        self.bits.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A peer set in one epoch: what labels, statements and connections are bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SetId {
    /// The peer set.
    pub cluster: ClusterId,
    /// Its epoch.
    pub epoch: Epoch,
}

impl SetId {
    /// A peer set as it is founded.
    pub fn first(cluster: ClusterId) -> Self {
        Self { cluster, epoch: Epoch::first(cluster) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_epoch_is_pinned() {
        let epoch = Epoch::first(ClusterId([1; 16]));
        assert_eq!((epoch.number, epoch.parent), (0, [0; 16]));
        assert_eq!(epoch.to_string(), "0/697c923f");
        assert_ne!(epoch, Epoch::first(ClusterId([8; 16])));
    }

    #[test]
    fn the_relation_is_told_from_number_bits_and_parent() {
        let first = Epoch::first(ClusterId([7; 16]));
        let (one, other) = (first.recovered([1; 16]), first.recovered([2; 16]));
        assert_eq!((one.number, one.parent), (1, first.bits));
        assert_eq!(one.relation(one), EpochRelation::Same);
        assert_eq!((first.relation(one), one.relation(first)), (EpochRelation::Newer, EpochRelation::Older));
        assert_eq!((one.relation(other), other.relation(one)), (EpochRelation::Fork, EpochRelation::Fork));
        let next = other.recovered([3; 16]);
        assert_eq!((one.relation(next), next.relation(one)), (EpochRelation::Fork, EpochRelation::Fork));
        assert_eq!(
            (first.relation(next), next.relation(first)),
            (EpochRelation::Newer, EpochRelation::Older)
        );
    }
}
