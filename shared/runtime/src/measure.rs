//! Measures the ways to the other members, on which the node's timeouts depend.
//!
//! The numbers are quinn's own; nothing extra is sent.

use crate::net::{FEWEST_PACKETS, Net, PeerStats};
use crate::shell::LoopEvent;
use rafty_consensus::Link;
use rafty_types::MemberId;
use smol::channel::Sender;
use smol::{Executor, Timer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often round-trip times and losses are looked at.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// Tells the loop, for as long as it goes on.
pub(crate) fn measure_links(executor: &Arc<Executor<'static>>, net: Net, loop_back: Sender<LoopEvent>) {
    let measure = async move {
        let mut before = BTreeMap::new();
        loop {
            Timer::after(MEASURE_EVERY).await;
            let now = net.stats().peers;
            let links = now.iter().filter_map(|(member, stats)| since(before.get(member), stats, *member));
            if loop_back.send(LoopEvent::Measured(links.collect())).await.is_err() {
                return;
            }
            before = now;
        }
    };
    executor.spawn(measure).detach();
}

/// What was measured after `before`; nothing while there is no connection, or one that is too new to be judged. A new
/// connection's losses count from its start.
fn since(before: Option<&PeerStats>, now: &PeerStats, member: MemberId) -> Option<Link> {
    if now.sent < FEWEST_PACKETS {
        return None;
    }
    let before = before.filter(|before| before.sent <= now.sent && before.lost <= now.lost);
    let (sent, lost) = before.map_or((0, 0), |before| (before.sent, before.lost));
    Some(Link { member, rtt: now.rtt?, sent: now.sent - sent, lost: now.lost - lost, slow: now.slow })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_counts_and_a_new_connection_counts_whole() {
        let stats = |sent, lost| PeerStats { rtt: Some(Duration::from_millis(5)), sent, lost, slow: false };
        let counted = |before: Option<PeerStats>, now| {
            since(before.as_ref(), &now, MemberId(2)).map(|link| (link.sent, link.lost))
        };
        assert_eq!(counted(Some(stats(100, 3)), stats(130, 5)), Some((30, 2)));
        assert_eq!(counted(Some(stats(200, 3)), stats(70, 0)), Some((70, 0)));
        assert_eq!(counted(None, stats(70, 1)), Some((70, 1)));
        assert_eq!(counted(Some(stats(70, 1)), PeerStats::default()), None);
    }

    #[test]
    fn a_connection_is_not_judged_by_its_handshake() {
        let stats =
            |sent, millis| PeerStats { rtt: Some(Duration::from_millis(millis)), sent, lost: 1, slow: false };
        assert_eq!(since(None, &stats(20, 100), MemberId(2)), None);
        let later = since(Some(&stats(20, 100)), &stats(70, 1), MemberId(2));
        assert_eq!(later.map(|link| (link.rtt, link.sent)), Some((Duration::from_millis(1), 50)));
    }
}
