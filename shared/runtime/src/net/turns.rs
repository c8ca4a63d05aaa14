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
/// Longest time without a packet of the other end in which an item keeps its turn.
const SILENT: Duration = Duration::from_millis(500);

/// One item's place among those that move.
pub(super) struct Turn<'a> {
    turns: &'a Semaphore,
    connection: &'a Connection,
    permit: Option<SemaphoreGuard<'a>>,
}

impl<'a> Turn<'a> {
    /// Of an item that moves over `connection`.
    pub(super) fn new(turns: &'a Semaphore, connection: &'a Connection) -> Self {
        Self { turns, connection, permit: None }
    }

    /// Does the next step as soon as it is this item's turn. `None` when it takes too long.
    pub(super) async fn step<T>(&mut self, step: impl Future<Output = T>) -> Option<T> {
        if self.permit.is_none() {
            self.permit = Some(self.turns.acquire().await);
        }
        let permit = &mut self.permit;
        let gives_away = async {
            falls_silent(self.connection).await;
            *permit = None;
            future::pending().await
        };
        within(STALLED, future::or(step, gives_away)).await
    }

    /// Waits for something without a turn. `None` when it takes too long.
    pub(super) async fn wait<T>(&mut self, what: impl Future<Output = T>) -> Option<T> {
        self.give_away();
        within(STALLED, what).await
    }

    /// Another one may move.
    pub(super) fn give_away(&mut self) {
        self.permit = None;
    }
}

/// Returns when nothing has come over a connection for [`SILENT`].
async fn falls_silent(connection: &Connection) {
    let packets = || connection.stats().udp_rx.datagrams;
    let mut before = packets();
    loop {
        Timer::after(SILENT).await;
        let now = packets();
        if now == before {
            return;
        }
        before = now;
    }
}
