//! What is going to happen, in the order of its time.

use rafty_types::Time;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Events by their time; those of the same time in the order in which they were planned.
pub struct Agenda<E> {
    planned: BinaryHeap<Reverse<Planned<E>>>,
}

struct Planned<E> {
    at: Time,
    number: u64,
    event: E,
}

impl<E> Agenda<E> {
    /// Plans an event. Numbers rise.
    pub fn plan(&mut self, at: Time, number: u64, event: E) {
        self.planned.push(Reverse(Planned { at, number, event }));
    }

    /// When the next one is.
    pub fn next_at(&self) -> Option<Time> {
        self.planned.peek().map(|Reverse(next)| next.at)
    }

    /// Takes the next one.
    pub fn take_next(&mut self) -> Option<E> {
        self.planned.pop().map(|Reverse(next)| next.event)
    }

    /// Drops those for which `keeps` is false.
    pub fn retain(&mut self, mut keeps: impl FnMut(&E) -> bool) {
        self.planned.retain(|Reverse(planned)| keeps(&planned.event));
    }
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self { planned: BinaryHeap::new() }
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Planned<E> {}
