//! A timer that is set anew for every message and hardly ever goes off.
//!
//! Setting one of the reactor's timers wakes the reactor, which costs a turn of its loop: some ten system calls. An
//! [`DeadlineTimer`] leaves its timer alone while the deadline only moves back, and looks again when it has gone off too
//! early. It does not repeat.

use smol::Timer;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

/// A deadline that moves.
#[derive(Debug)]
pub(crate) struct DeadlineTimer {
    timer: Timer,
    /// When the timer goes off, unless it has.
    set: Option<Instant>,
}

impl Default for DeadlineTimer {
    fn default() -> Self {
        Self { timer: Timer::never(), set: None }
    }
}

impl DeadlineTimer {
    /// Ready once `deadline` has passed.
    pub(crate) fn poll_at(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        if self.set.is_none_or(|set| deadline < set) {
            self.set(deadline);
        }
        while Pin::new(&mut self.timer).poll(context).is_ready() {
            if self.set.take() >= Some(deadline) {
                return Poll::Ready(());
            }
            self.set(deadline);
        }
        Poll::Pending
    }

    fn set(&mut self, at: Instant) {
        self.set = Some(at);
        self.timer.set_at(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::future::{block_on, poll_fn};
    use std::time::Duration;

    /// When a timer goes off that is asked for each of these, in milliseconds from now, and awaited for the last.
    fn goes_off_after(deadlines: &[u64]) -> Duration {
        let now = Instant::now();
        let mut timer = DeadlineTimer::default();
        let mut asked = deadlines.iter().map(|ms| now + Duration::from_millis(*ms));
        let last = asked.next_back().unwrap();
        block_on(poll_fn(|context| {
            for deadline in asked.by_ref() {
                assert!(timer.poll_at(deadline, context).is_pending());
            }
            timer.poll_at(last, context)
        }));
        now.elapsed()
    }

    #[test]
    fn it_goes_off_at_the_last_deadline_whether_that_moved_back_or_forth() {
        for deadlines in [&[30][..], &[5, 30], &[60_000, 30], &[60_000, 5, 30], &[5, 60_000, 30]] {
            let after = goes_off_after(deadlines);
            assert!((Duration::from_millis(30)..Duration::from_secs(30)).contains(&after), "{after:?}");
        }
        assert!(goes_off_after(&[0]) < Duration::from_secs(30));
    }
}
