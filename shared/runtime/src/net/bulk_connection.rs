//! The connection for bulk items to one member: there while items wait or move, and for a moment after the last one.

use super::Close;
use quinn::Connection;
use smol::lock::Mutex;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long an unused one stays, for the next item.
pub(super) const UNUSED_FOR: Duration = Duration::from_secs(10);

/// Kept alive by its transport, so it ends only when the other end is gone or nobody needs it.
#[derive(Default)]
pub(super) struct BulkConnection {
    kept: Mutex<Option<Connection>>,
    users: AtomicUsize,
}

/// An item that waits or moves.
pub(super) struct User<'a>(&'a BulkConnection);

impl BulkConnection {
    /// It stays for as long as the user does.
    pub(super) fn user(&self) -> User<'_> {
        self.users.fetch_add(1, Ordering::SeqCst);
        User(self)
    }

    /// The one there is, if nobody is dialling just now.
    pub(super) fn now(&self) -> Option<Connection> {
        self.kept.try_lock()?.clone()
    }

    /// Closes it unless somebody uses it.
    pub(super) async fn close_unused(&self) {
        // Whoever comes to use it afterwards looks for it under this lock.
        let mut kept = self.kept.lock().await;
        if self.users.load(Ordering::SeqCst) == 0
            && let Some(connection) = kept.take()
        {
            connection.close(Close::Done.code(), b"");
        }
    }
}

impl User<'_> {
    /// The connection, dialled if there is none.
    pub(super) async fn connection(
        &self,
        dial: impl Future<Output = Option<Connection>>,
    ) -> Option<Connection> {
        let mut kept = self.0.kept.lock().await;
        if kept.as_ref().is_none_or(|connection| connection.close_reason().is_some()) {
            *kept = dial.await;
        }
        kept.clone()
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::SeqCst);
    }
}
