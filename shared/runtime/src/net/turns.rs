//! Turns of bulk items: a few move at once, and one whose other end is silent gives its turn away.
//!
//! Otherwise a few members that stand still would hold up what goes to all others.

use super::within;
use quinn::Connection;
use smol::lock::{Semaphore, SemaphoreGuard};
use smol::{Timer, future};
use std::future::Future;
use std::time::Duration;

/// How long one step of an item may take.
pub(super) const STALLED: Duration = Duration::from_secs(30);
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
    pub(super) async fn step<T>(&mut self, step: impl Future<Output = T>) -> Option<T> {
        if self.permit.is_none() {
            self.permit = self.turns.try_acquire();
        }
        let permit = &mut self.permit;
        let gives_away = async {
            falls_silent(self.connection).await;
            *permit = None;
            future::pending().await
        };
        within(STALLED, future::or(step, gives_away)).await
    }
}

/// Returns when nothing has come over a connection since it was looked at last.
async fn falls_silent(connection: &Connection) {
    let packets = || connection.stats().udp_rx.datagrams;
    let mut before = packets();
    loop {
        Timer::after(LOOK_EVERY).await;
        let now = packets();
        if now == before {
            return;
        }
        before = now;
    }
}
