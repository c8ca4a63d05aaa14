//! Signs of life, given by a member's own loop: a supervisor that misses them knows that the loop hangs.
//!
//! It does not know who supervises.

use std::time::{Duration, Instant};

/// How often a running loop gives a sign.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// What a member's loop says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Its log is replayed, and it takes part.
    Ready,
    /// It goes round: said every second.
    Alive,
    /// It hands over and ends.
    Stopping,
}

/// Who is told. Must not block: it is called on the loop.
pub type Supervisor = Box<dyn FnMut(Sign) + Send>;

/// The loop's side.
#[derive(Default)]
pub(crate) struct Watchdog {
    to: Option<Supervisor>,
    last: Option<Instant>,
}

impl Watchdog {
    pub(crate) fn new(to: Option<Supervisor>) -> Self {
        Self { to, last: None }
    }

    pub(crate) fn give(&mut self, sign: Sign) {
        if let Some(to) = &mut self.to {
            to(sign);
        }
    }

    /// Called once in every turn of the loop.
    pub(crate) fn turn(&mut self, now: Instant) {
        if self.to.is_some() && self.last.is_none_or(|last| now >= last + ALIVE_EVERY) {
            let first = self.last.replace(now).is_none();
            self.give(if first { Sign::Ready } else { Sign::Alive });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn the_first_turn_says_ready_and_later_ones_once_a_second_that_it_is_alive() {
        let (send, said) = channel();
        let mut watchdog = Watchdog::new(Some(Box::new(move |sign| send.send(sign).unwrap())));
        let start = Instant::now();
        for ms in [0, 10, 999, 1_000, 1_500, 2_000, 60_000] {
            watchdog.turn(start + Duration::from_millis(ms));
        }
        watchdog.give(Sign::Stopping);
        drop(watchdog);
        let said: Vec<_> = said.iter().collect();
        assert_eq!(said, [Sign::Ready, Sign::Alive, Sign::Alive, Sign::Alive, Sign::Stopping]);
    }
}
