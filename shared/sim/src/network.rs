//! The network: which way is open, how long something takes, and what becomes of it on the way.
//!
//! Datagrams may be lost, doubled and overtaken; the transport drops what is late, as the shipping one does. Streams
//! are repeated until they are through, unless they break. It carries nothing itself.

use crate::rates::FaultRates;
use crate::rng::SimRng;
use crate::tally::{Evil, Tally};
use rafty_types::MemberId;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a packet waits that others overtake, in milliseconds.
const OVERTAKEN: (u64, u64) = (5, 300);
/// How long it takes until a lost part of a stream is sent again, in milliseconds.
const SENT_AGAIN: (u64, u64) = (20, 200);
/// How often a part of a stream is sent again before the stream breaks.
const MAX_TIMES_SENT: u32 = 30;

/// Ways that are closed.
#[derive(Debug, Default)]
pub struct Network {
    /// From one to another; the way back may be open.
    closed: BTreeSet<(MemberId, MemberId)>,
}

impl Network {
    /// Closes the way from one member to another.
    pub fn close(&mut self, from: MemberId, to: MemberId) {
        self.closed.insert((from, to));
    }

    /// Closes every way between the two sides.
    pub fn part(&mut self, one: &[MemberId], other: &[MemberId]) {
        for (from, to) in Self::ways(one, other) {
            self.close(from, to);
            self.close(to, from);
        }
    }

    /// The ways from each of some members to each of others.
    pub fn ways(from: &[MemberId], to: &[MemberId]) -> impl Iterator<Item = (MemberId, MemberId)> {
        from.iter().flat_map(move |from| to.iter().map(move |to| (*from, *to)))
    }

    /// Opens the way from one member to another.
    pub fn open(&mut self, from: MemberId, to: MemberId) {
        self.closed.remove(&(from, to));
    }

    /// Opens all ways.
    pub fn heal(&mut self) {
        self.closed.clear();
    }

    /// Whether something sent now can get there.
    pub fn is_open(&self, from: MemberId, to: MemberId) -> bool {
        !self.closed.contains(&(from, to))
    }

    /// After which time a datagram of `len` bytes arrives, and a second copy of it.
    pub fn datagram(
        &self,
        len: usize,
        rates: &FaultRates,
        rng: &mut SimRng,
        tally: &mut Tally,
    ) -> (Option<Duration>, Option<Duration>) {
        if rng.permille(rates.drop) {
            tally.evil(Evil::Drop);
            return (None, None);
        }
        let mut after = rng.ms(rates.latency) + transfer(len, rates);
        if rng.permille(rates.reorder) {
            tally.evil(Evil::Reorder);
            after += rng.ms(OVERTAKEN);
        }
        if rng.permille(rates.duplicate) {
            tally.evil(Evil::Duplicate);
            return (Some(after), Some(after + rng.ms(OVERTAKEN)));
        }
        (Some(after), None)
    }

    /// After which time a stream of `len` bytes is through; `None` when it breaks.
    pub fn stream(
        &self,
        len: usize,
        rates: &FaultRates,
        rng: &mut SimRng,
        tally: &mut Tally,
    ) -> Option<Duration> {
        if rng.permille(rates.reset) {
            tally.evil(Evil::Reset);
            return None;
        }
        let mut after = rng.ms(rates.latency) + transfer(len, rates);
        let mut sent = 1;
        while rng.permille(rates.drop) {
            if sent == MAX_TIMES_SENT {
                return None;
            }
            sent += 1;
            after += rng.ms(SENT_AGAIN);
        }
        Some(after)
    }
}

fn transfer(len: usize, rates: &FaultRates) -> Duration {
    Duration::from_micros(len as u64 * 1_000 / rates.bandwidth)
}
