//! Which start of a member's process, on which copy of its disk, speaks.
//!
//! Raft is safe only while a voter's disk never forgets. So each start has a number and a nonce, written and synced before
//! it says anything that binds it; the number rises, and is synced, whenever a tenure is applied, too. Whoever claims to
//! come after a start, but ends that start below a number that others were told, runs on an older copy of the disk.

use crate::{Index, MemberId, Mutation, Term, planted};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Starts that a disk remembers. An older copy that was started this often without reaching anybody is not found any more.
pub const KEPT_INCARNATIONS: usize = 8;
/// By how much a number may rise at once.
pub const MAX_INCARNATION_RISE: u64 = 1 << 20;

/// One start of a member, and how far its number has risen since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnation {
    /// Rises at each start and with each applied tenure.
    pub number: u64,
    /// Drawn at each start.
    pub nonce: u64,
}

/// What a disk knows of the starts on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnations {
    /// The latest, oldest first, each with the last number it had; at most [`KEPT_INCARNATIONS`].
    pub latest: Vec<Incarnation>,
    /// Whether this disk was found to be an older copy. It never votes again.
    pub outdated: bool,
    /// The mark at which the state on this disk was found to differ from the one that a majority of voters signed. It is
    /// never used again.
    pub diverged: Option<Index>,
}

impl Incarnations {
    /// The next start.
    #[must_use]
    pub fn started(mut self, nonce: u64) -> Self {
        let number = self.current().number + 1;
        if self.latest.len() >= KEPT_INCARNATIONS {
            self.latest.remove(0);
        }
        self.latest.push(Incarnation { number, nonce });
        self
    }

    /// The latest start.
    pub fn current(&self) -> Incarnation {
        self.latest.last().copied().unwrap_or_default()
    }

    /// A tenure was applied.
    pub fn rise(&mut self) {
        if let Some(current) = self.latest.last_mut() {
            current.number += 1;
        }
    }
}

/// What a member says of itself when it starts, and again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who says it. Somebody that fell behind may know it by an older id.
    pub member: MemberId,
    /// The starts on its disk, oldest first, the present one last.
    pub starts: Vec<Incarnation>,
    /// The term on its disk when it started.
    pub term: Term,
    /// The last entry on its disk when it started.
    pub last: Index,
    /// The last entry on its disk now.
    pub holds: Index,
    /// Whether its files look like a copy: it abstains until a record names this start.
    pub suspected: bool,
    /// Whether its disk is known to be an older copy.
    pub outdated: bool,
    /// Where it listens, for people.
    pub at: Option<SocketAddr>,
    /// What it was told last by whom it says this; shows that it ran after that.
    pub heard: Option<HelloStamp>,
    /// Whether it alone votes, as far as its disk knows, and has not led yet: then all that is committed is on its disk.
    pub votes_alone: bool,
    /// Its wall clock, in milliseconds since 1970. For people only.
    pub wall_ms: u64,
    /// A name and port at which it is found, at most [`MAX_HELLO_NAME_LEN`] bytes; nothing is checked about it.
    pub name: Option<String>,
    /// Whether its election timeouts outlast few heartbeats: the way between the two is slow.
    pub patient: bool,
}

/// Longest name in a [`Hello`], in bytes: what DNS allows (RFC 1035 §2.3.4), and a port.
pub const MAX_HELLO_NAME_LEN: usize = 255 + 6;

/// When an answer to a hello was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloStamp {
    /// The nonce of whoever gave it.
    pub nonce: u64,
    /// Milliseconds by its own clock.
    pub ms: u64,
}

/// What is known of whoever said a [`Hello`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// The nonce of the hello.
    pub nonce: u64,
    /// When this is said.
    pub stamp: HelloStamp,
    /// Whether votes and acknowledgements of this start count for whoever says this.
    pub counts: bool,
    /// Where another process with the same identity runs at the same time.
    pub twice: Option<SocketAddr>,
}

/// What the replicated state records of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedIncarnation {
    /// Who.
    pub member: MemberId,
    /// What it said of itself last.
    pub incarnation: Incarnation,
    /// Up to where it had acknowledged the log.
    pub matched: Index,
}

impl Hello {
    /// The present start.
    pub fn current(&self) -> Incarnation {
        self.starts.last().copied().unwrap_or_default()
    }

    /// Whether what the member said once shows that this disk is a copy from before that.
    pub fn contradicts(&self, said: Incarnation) -> bool {
        if planted(Mutation::IncarnationsComparedByNumber) {
            return said.number > self.current().number;
        }
        match self.starts.iter().find(|start| start.nonce == said.nonce) {
            Some(start) => said.number > start.number,
            // One of its own from before those that it remembers had a lower number than all of them.
            None => self.starts.first().is_none_or(|oldest| said.number >= oldest.number),
        }
    }

    /// The same for what the replicated state records. What it records as acknowledged is committed, so it was on the disk
    /// at every later start.
    pub fn contradicts_record(&self, recorded: RecordedIncarnation) -> bool {
        let later_start = recorded.incarnation.nonce != self.current().nonce;
        let forgot = later_start && recorded.matched > self.last;
        self.contradicts(recorded.incarnation) || forgot && !planted(Mutation::IncarnationsComparedByNumber)
    }

    /// The same for what an earlier start acknowledged to a leader of `term`.
    pub fn contradicts_acknowledged(&self, (term, matched): (Term, Index)) -> bool {
        let by_number = planted(Mutation::IncarnationsComparedByNumber);
        !by_number && matched > Index(0) && (self.term < term || self.term == term && self.last < matched)
    }

    /// Whether a receiver can make sense of it.
    pub fn is_sane(&self) -> bool {
        let rise = self.starts.windows(2).all(|pair| pair[0].number < pair[1].number);
        let name_fits = self.name.as_ref().is_none_or(|name| name.len() <= MAX_HELLO_NAME_LEN);
        rise && name_fits && (1..=KEPT_INCARNATIONS).contains(&self.starts.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(starts: &[(u64, u64)]) -> Hello {
        let starts = starts.iter().map(|(number, nonce)| Incarnation { number: *number, nonce: *nonce });
        Hello { starts: starts.collect(), term: Term(5), last: Index(40), ..Hello::default() }
    }

    fn said(number: u64, nonce: u64) -> Incarnation {
        Incarnation { number, nonce }
    }

    #[test]
    fn each_start_has_a_higher_number_and_a_disk_remembers_the_latest() {
        let mut disk = Incarnations::default();
        for nonce in 1..=20 {
            let before = disk.current();
            disk = disk.started(nonce);
            assert_eq!(disk.current(), said(before.number + 1, nonce));
            disk.rise();
        }
        assert_eq!(disk.current(), said(40, 20));
        assert_eq!((disk.latest.len(), disk.latest[0]), (KEPT_INCARNATIONS, said(26, 13)));
    }

    #[test]
    fn what_was_said_on_the_way_here_contradicts_nothing() {
        let hello = hello(&[(7, 70), (9, 90), (12, 120)]);
        for (number, nonce) in [(1, 10), (6, 60), (7, 70), (8, 90), (9, 90), (12, 120)] {
            assert!(!hello.contradicts(said(number, nonce)), "{number} {nonce}");
        }
    }

    #[test]
    fn a_number_beyond_the_end_of_a_start_or_one_of_another_branch_shows_a_copy() {
        let hello = hello(&[(7, 70), (9, 90), (12, 120)]);
        for (number, nonce) in [(10, 90), (8, 70), (12, 121), (13, 130), (8, 80), (7, 71)] {
            assert!(hello.contradicts(said(number, nonce)), "{number} {nonce}");
        }
        assert!(Hello::default().contradicts(said(1, 1)), "an empty disk has said nothing");
    }

    #[test]
    fn what_was_acknowledged_before_the_start_is_on_the_disk() {
        let hello = hello(&[(7, 70), (9, 90)]);
        let recorded = |nonce, matched| RecordedIncarnation {
            member: MemberId(1),
            incarnation: said(7, nonce),
            matched: Index(matched),
        };
        assert!(!hello.contradicts_record(recorded(70, 40)));
        assert!(hello.contradicts_record(recorded(70, 41)));
        assert!(!hello.contradicts_record(recorded(90, 41)), "acknowledged since");
        for (term, index, copy) in
            [(4, 90, false), (5, 40, false), (5, 41, true), (6, 1, true), (6, 0, false)]
        {
            assert_eq!(hello.contradicts_acknowledged((Term(term), Index(index))), copy, "{term} {index}");
        }
    }
}
