//! Stories that need a network with delays. What needs none is told in `tests/scripts`.

use crate::harness::{Faults, Net, id, ms};
use rafty_consensus::{Input, Link, Output, Role};
use rafty_types::{MemberId, MessageKind};
use std::collections::BTreeSet;

fn ids(ids: &[u64]) -> BTreeSet<MemberId> {
    ids.iter().copied().map(MemberId).collect()
}

#[test]
fn every_member_reads_what_was_committed_when_it_asked() {
    let mut net = Net::new(10, 3);
    let leader = net.elect();
    for request in 0..20 {
        net.propose(leader, request);
        net.run_for(ms(7));
        net.running().into_iter().for_each(|member| net.read(member, 100 * member.0 + request));
    }
    net.run_for(ms(500));
    assert_eq!((net.ready_reads.len(), net.failed_reads.len()), (60, 0));
}

#[test]
fn a_follower_continues_after_a_slow_snapshot_although_its_leader_compacted_meanwhile() {
    let mut net = Net::new(1, 1);
    net.elect();
    let flood = |net: &mut Net, requests: std::ops::Range<u64>| {
        for request in requests {
            net.propose(id(1), request);
            net.run_for(ms(5));
        }
    };
    flood(&mut net, 0..100);
    net.faults = Faults { snapshot_ms: 800, ..net.faults };
    net.newcomer(id(7));
    net.reconcile(&ids(&[1]), &ids(&[7]));
    flood(&mut net, 100..300);
    net.run_until("the learner is level", ms(5_000), Net::agrees);
    assert_eq!(net.snapshots_sent, 1);
}

#[test]
fn messages_leave_in_order_of_their_recipients() {
    let mut net = Net::new(20, 7);
    let leader = net.elect();
    net.run_for(ms(100));
    let now = net.now + ms(40);
    let machine = &mut net.members.get_mut(&leader).unwrap().running.as_mut().unwrap().machine;
    let outputs = machine.handle(now, Input::Tick);
    let beats = outputs.iter().filter_map(|output| match output {
        Output::Send(message) if message.kind == MessageKind::Heartbeat => Some(message.to),
        _ => None,
    });
    let to: Vec<_> = beats.collect();
    assert!(to.len() == 6 && to.is_sorted(), "{to:?}");
}

#[test]
fn a_member_that_slept_does_not_stand_for_election_before_it_has_read_its_messages() {
    let mut net = Net::new(13, 3);
    let leader = net.elect();
    let sleeper = net.running().into_iter().find(|member| *member != leader).unwrap();
    let running = net.members.get_mut(&sleeper).unwrap().running.as_mut().unwrap();
    let outputs = running.machine.handle(net.now + ms(60_000), Input::Tick);
    assert_eq!(running.machine.role(), Role::Follower);
    assert!(outputs.is_empty());
}

/// Everybody measured the same of the ways to all others.
fn measure(net: &mut Net, rtt: u64, lost_per_thousand: u64) {
    for member in net.running() {
        let others = net.running().into_iter().filter(|other| *other != member);
        let link = |member| Link { member, rtt: ms(rtt), sent: 1_000, lost: lost_per_thousand, slow: false };
        let links: Vec<_> = others.map(link).collect();
        (0..60).for_each(|_| net.input(member, Input::Measured(links.clone())));
    }
}

/// In how many terms a minute of a network with these faults ends.
fn terms_in_a_minute(faults: Faults, measured: Option<(u64, u64)>) -> u64 {
    let mut net = Net::new(21, 5);
    net.faults = faults;
    if let Some((rtt, lost)) = measured {
        measure(&mut net, rtt, lost);
    }
    net.run_for(ms(60_000));
    net.running().into_iter().map(|member| net.machine(member).term().0).max().unwrap()
}

#[test]
fn a_leader_stays_on_a_lossy_network_once_the_loss_was_measured() {
    let lossy = Faults { drop_percent: 40, max_delay_ms: 3, max_sync_ms: 3, ..Faults::default() };
    let (unmeasured, measured) = (terms_in_a_minute(lossy, None), terms_in_a_minute(lossy, Some((3, 400))));
    assert!(unmeasured >= 10 && measured <= 3, "{unmeasured} and {measured}");
}

#[test]
fn a_leader_is_elected_over_a_slow_network_once_its_delay_was_measured() {
    let slow = Faults { max_delay_ms: 700, max_sync_ms: 3, ..Faults::default() };
    let (unmeasured, measured) = (terms_in_a_minute(slow, None), terms_in_a_minute(slow, Some((700, 0))));
    assert!(unmeasured >= 10 && measured <= 4, "{unmeasured} and {measured}");
}
