//! Which feature levels the programs of members support.
//!
//! A program that meets a higher level than its own halts. So the level rises only when every member has said, under its own
//! signature, that its program supports it; members that have been gone for long can be excepted by name.

use crate::roster::ensure;
use rafty_types::{MemberId, Rejection};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What every program supports, and with it a member that has not said anything.
pub(crate) const FIRST_LEVEL: u32 = 1;

/// The highest level that members have said they support.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SupportedLevels(BTreeMap<MemberId, u32>);

impl SupportedLevels {
    pub(crate) fn of(&self, member: MemberId) -> u32 {
        self.0.get(&member).copied().unwrap_or(FIRST_LEVEL)
    }

    /// Who has said something.
    pub(crate) fn members(&self) -> impl Iterator<Item = MemberId> {
        self.0.keys().copied()
    }

    pub(crate) fn record(&mut self, member: MemberId, level: u32) -> Result<(), Rejection> {
        ensure(level >= FIRST_LEVEL, "every program supports the first feature level")?;
        self.0.insert(member, level);
        Ok(())
    }

    /// Whether `level` is one that each of these members supports.
    pub(crate) fn check(
        &self,
        level: u32,
        mut members: impl Iterator<Item = MemberId>,
    ) -> Result<(), Rejection> {
        let older = members.find(|member| self.of(*member) < level);
        older.map_or(Ok(()), |member| Err(Rejection::Unsupported(member)))
    }

    pub(crate) fn forget(&mut self, member: MemberId) {
        self.0.remove(&member);
    }
}
