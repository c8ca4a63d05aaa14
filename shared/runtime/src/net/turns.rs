//! Turns of bulk items: a few move at once, and one whose other end is silent gives its turn away.
//!
//! Otherwise a few members that stand still would hold up what goes to all others.

use super::{Close, within};
use quinn::Connection;
use rafty_node::Silence;
use rafty_types::Time;
use smol::lock::{Semaphore, SemaphoreGuard};
use smol::{Timer, future};
use std::future::Future;
use std::time::{Duration, Instant};

/// How long one step of an item may take, beside the time for the bytes that are under way in it.
pub(super) const STALLED: Duration = Duration::from_secs(30);
/// The slowest link that is waited for, in bytes a second: an eighth of 64 kbit/s, which two items, heartbeats and what
/// others send share.
const SLOWEST: u64 = 1_024;
/// An item that takes longer for a step lets others move beside it.
const SLOW: Duration = Duration::from_secs(5);
/// The longest that one transfer has a slow network to itself: 1 MB at 64 kbit/s.
const ALONE_FOR: Duration = Duration::from_secs(120);
/// How often is looked whether a packet of the other end has come: without one an item loses its turn.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// One item's place among those that move.
pub(super) struct Turn<'a> {
    turns: &'a Semaphore,
    connection: &'a Connection,
    permit: Option<SemaphoreGuard<'a>>,
}

impl<'a> Turn<'a> {
    /// That of an item which has waited for its permit and moves over `connection`.
    pub(super) fn new(turns: &'a Semaphore, permit: SemaphoreGuard<'a>, connection: &'a Connection) -> Self {
        Self { turns, connection, permit: Some(permit) }
    }

    /// Does the next step. One that gave its turn away goes on without: it has waited once. `None` when it takes too long.
    /// A connection over which nothing comes for long is closed: of one whose other end has forgotten it QUIC may believe
    /// for minutes that its answers are slow, when this process stood still while one was under way.
    pub(super) async fn step<T>(&mut self, step: impl Future<Output = T>) -> Option<T> {
        self.step_of(0, step).await
    }

    /// The same for a step that is over when so many bytes have arrived at the other end.
    pub(super) async fn step_of<T>(&mut self, bytes: u64, step: impl Future<Output = T>) -> Option<T> {
        if self.permit.is_none() {
            self.permit = self.turns.try_acquire();
        }
        let permit = &mut self.permit;
        let gives_away = async {
            future::or(falls_silent(self.connection), async {
                Timer::after(SLOW).await;
            })
            .await;
            *permit = None;
            future::pending().await
        };
        let connection = self.connection;
        let is_gone = async {
            stays_silent(connection).await;
            connection.close(Close::Silent.code(), b"");
            future::pending().await
        };
        within(patience(bytes), future::or(step, future::or(gives_away, is_gone))).await
    }
}

/// Over a slow way one transfer moves at a time, and over a slow network: several beside each other would leave no room for
/// anything else. Nothing when neither is slow.
pub(super) async fn alone<'a>(
    slow_way: bool,
    way: &'a Semaphore,
    slow_network: bool,
    network: &'a Semaphore,
) -> (Option<SemaphoreGuard<'a>>, Option<SemaphoreGuard<'a>>) {
    let way = if slow_way { Some(way.acquire().await) } else { None };
    let network = if slow_network { Some(network.acquire().await) } else { None };
    (way, network)
}

/// Holds a guard for as long as one transfer may keep others waiting. Never returns.
pub(super) async fn for_a_while<T>(guard: Option<SemaphoreGuard<'_>>) -> T {
    Timer::after(ALONE_FOR).await;
    drop(guard);
    future::pending().await
}

/// How long a step is waited for in which so many bytes are under way.
fn patience(bytes: u64) -> Duration {
    STALLED + Duration::from_secs(bytes / SLOWEST)
}

/// Returns when nothing has come over a connection for so long that nobody is there.
async fn stays_silent(connection: &Connection) {
    let begun = Instant::now();
    let now = || Time::since_start(begun.elapsed());
    let mut silence = Silence::since(Time::ZERO, packets_from(connection));
    while !silence.is_too_long(now(), packets_from(connection)) {
        Timer::after(LOOK_EVERY).await;
    }
}

/// Returns when nothing has come over a connection since it was looked at last.
async fn falls_silent(connection: &Connection) {
    while !is_silent(connection).await {}
}

/// Whether nothing comes over a connection until it is looked at again.
pub(super) async fn is_silent(connection: &Connection) -> bool {
    let before = packets_from(connection);
    Timer::after(LOOK_EVERY).await;
    packets_from(connection) == before
}

fn packets_from(connection: &Connection) -> u64 {
    connection.stats().udp_rx.datagrams
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_waited_for_as_long_as_the_slowest_link_takes_and_no_longer() {
        assert_eq!(patience(0), STALLED);
        let update = 390_000;
        let over_64_kbit = Duration::from_secs(update / 8_000);
        assert!(over_64_kbit > STALLED && patience(update) > over_64_kbit * 4);
        assert!(patience(rafty_wire::MAX_BULK_LEN) < Duration::from_secs(7 * 86_400));
    }
}
