//! Disks that take nothing: whoever has one says so, for the others hear it, see it alive, and count on its vote.
//!
//! For people only; nothing is decided by it.

use crate::io::Output;
use crate::node::Node;
use rafty_types::{Frame, MemberId, StateMachine, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// How often trouble is said again while it lasts.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// For how long what another one said is believed.
const BELIEVED_FOR: Duration = Duration::from_secs(15);
/// The most characters of a reason that are kept.
const MAX_REASON: usize = 200;

#[derive(Default)]
pub(crate) struct DiskTroubles {
    own: Option<String>,
    say_next: Time,
    of_others: BTreeMap<MemberId, (String, Time)>,
}

impl<U: StateMachine> Node<U> {
    /// This member's disk takes nothing, for this reason; or it does again.
    pub(crate) fn own_disk_trouble(&mut self, why: Option<String>) {
        let why = why.map(|why| why.chars().take(MAX_REASON).collect());
        if self.disk_troubles.own != why {
            self.disk_troubles.own = why;
            self.say_disk_trouble();
        }
    }

    pub(crate) fn say_disk_trouble_again(&mut self) {
        if self.disk_troubles.own.is_some() && self.disk_troubles.say_next <= self.now {
            self.say_disk_trouble();
        }
    }

    fn say_disk_trouble(&mut self) {
        self.disk_troubles.say_next = self.now + SAY_EVERY;
        let why = &self.disk_troubles.own;
        let others = self.state.control().members().keys().filter(|id| **id != self.me);
        let said = others.map(|to| Output::Send { to: *to, frame: Frame::DiskTrouble { why: why.clone() } });
        self.out.extend(said);
    }

    /// Another member says how its disk is.
    pub(crate) fn disk_trouble_heard(&mut self, from: MemberId, why: Option<String>) {
        let members = self.state.control().members();
        self.disk_troubles.of_others.retain(|member, _| members.contains_key(member));
        match why {
            Some(why) if members.contains_key(&from) => {
                let why = why.chars().take(MAX_REASON).collect();
                self.disk_troubles.of_others.insert(from, (why, self.now));
            }
            _ => drop(self.disk_troubles.of_others.remove(&from)),
        }
    }

    /// Why a member's disk takes nothing, as far as is known here.
    pub(crate) fn disk_trouble(&self, member: MemberId) -> Option<String> {
        if member == self.me {
            return self.disk_troubles.own.clone();
        }
        let (why, said) = self.disk_troubles.of_others.get(&member)?;
        (self.now.saturating_since(*said) < BELIEVED_FOR).then(|| why.clone())
    }
}
