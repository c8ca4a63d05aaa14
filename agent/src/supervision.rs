//! What the service manager is told: systemd's notification protocol, sd_notify(3).
//!
//! The signs are those of the member's own loop, so a loop that hangs is noticed and restarted. Without a service
//! manager nothing is told. It does not start or stop anything.

use rafty_runtime::{Sign, Supervisor};
use sd_notify::{NotifyState, notify};
use std::time::Duration;

/// Passes a member's signs of life on.
pub(crate) fn supervisor() -> Supervisor {
    Box::new(|sign| {
        let state = match sign {
            Sign::Ready => NotifyState::Ready,
            Sign::Alive => NotifyState::Watchdog,
            Sign::Stopping => NotifyState::Stopping,
        };
        tell(&[state]);
    })
}

/// Says what a start waits for, and that it may take so much longer.
pub(crate) fn starting(what: &str, longer: Duration) {
    let longer = u32::try_from(longer.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Status(what), NotifyState::ExtendTimeoutUsec(longer)]);
}

fn tell(state: &[NotifyState<'_>]) {
    // Not being heard is no reason not to work.
    let _ = notify(state);
}
