//! Scripts that read like the stories they test.

use crate::harness::{Faults, Net, id, ms};
use rafty_consensus::{Input, Link, Output, Role};
use rafty_types::{Index, MemberId, Message, MessageKind, PersistId, Term};
use std::collections::BTreeSet;

fn ids(ids: &[u64]) -> BTreeSet<MemberId> {
    ids.iter().copied().map(MemberId).collect()
}

fn voters(net: &Net, member: MemberId) -> Vec<u64> {
    net.machine(member).membership().voters.iter().map(|member| member.0).collect()
}

#[test]
fn three_members_elect_one_leader_and_all_apply_its_entries() {
    let mut net = Net::new(1, 3);
    let leader = net.elect();
    (0..50).for_each(|request| net.propose(leader, request));
    net.run_until("everybody applies", ms(2_000), |net| net.proposed.len() == 50 && net.agrees());
    for (index, term) in net.proposed.values() {
        assert_eq!(net.oracle.committed[index].term, *term);
    }
}

#[test]
fn a_lone_voter_leads_at_once_and_again_after_a_crash() {
    let mut net = Net::new(2, 1);
    net.run_until("it leads", ms(20), |net| net.leader().is_some());
    net.elect();
    net.propose(id(1), 1);
    net.run_for(ms(50));
    let before = net.machine(id(1)).term();
    net.crash(id(1));
    net.restart(id(1));
    net.elect();
    assert!(net.machine(id(1)).term() > before);
    let (index, term) = net.proposed[&1];
    assert_eq!(net.oracle.committed[&index].term, term);
}

#[test]
fn the_rest_goes_on_when_a_leader_dies_and_it_catches_up_later() {
    let mut net = Net::new(3, 3);
    let old = net.elect();
    net.propose(old, 1);
    net.run_for(ms(100));
    net.crash(old);
    net.run_until("another leads", ms(3_000), |net| net.leader().is_some_and(|leader| leader != old));
    let new = net.elect();
    net.propose(new, 2);
    net.run_for(ms(100));
    net.restart(old);
    net.run_until("the old one follows", ms(3_000), Net::agrees);
    assert!(net.proposed.contains_key(&1) && net.proposed.contains_key(&2));
}

#[test]
fn a_leader_without_its_majority_steps_down_and_commits_nothing() {
    let mut net = Net::new(4, 3);
    let leader = net.elect();
    let others: Vec<_> = net.running().into_iter().filter(|member| *member != leader).collect();
    net.cut = others.iter().map(|other| (leader.min(*other), leader.max(*other))).collect();
    net.propose(leader, 1);
    net.read(leader, 2);
    net.run_for(ms(1_500));
    let (index, term) = net.proposed[&1];
    assert_ne!(net.machine(leader).role(), Role::Leader);
    assert_ne!(net.oracle.committed.get(&index).map(|entry| entry.term), Some(term));
    assert!(!net.ready_reads.contains_key(&2));
    net.run_for(ms(3_000));
    assert!(net.failed_reads.contains(&2));
    net.heal();
    net.run_until("it follows", ms(3_000), Net::agrees);
}

#[test]
fn a_late_learner_gets_a_snapshot_and_then_a_vote() {
    let mut net = Net::new(5, 1);
    net.elect();
    for request in 0..200 {
        net.propose(id(1), request);
        net.run_for(ms(5));
    }
    assert!(net.machine(id(1)).snapshot().index > Index(100), "it compacted");
    net.newcomer(id(7));
    net.reconcile(&ids(&[1]), &ids(&[7]));
    net.run_until("the learner is level", ms(5_000), Net::agrees);
    assert!(net.snapshots_sent > 0);
    assert_eq!(net.machine(id(7)).membership().learners, [id(7)]);
    net.reconcile(&ids(&[1, 7]), &ids(&[]));
    net.run_until("it votes", ms(5_000), |net| voters(net, id(7)) == [1, 7] && net.agrees());
    net.crash(id(1));
    net.run_for(ms(2_000));
    assert_eq!(net.leader(), None, "one of two is no majority");
    net.restart(id(1));
    net.elect();
}

#[test]
fn a_joint_change_swaps_voters_and_the_removed_disturb_nobody() {
    let mut net = Net::new(6, 3);
    let leader = net.elect();
    let removed = if leader == id(3) { id(2) } else { id(3) };
    let kept: BTreeSet<_> = ids(&[1, 2, 3]).into_iter().filter(|member| *member != removed).collect();
    [4, 5].into_iter().for_each(|member| net.newcomer(id(member)));
    net.reconcile(&ids(&[1, 2, 3]), &ids(&[4, 5]));
    net.run_until("the newcomers learn", ms(5_000), Net::agrees);
    let desired: BTreeSet<_> = kept.iter().copied().chain(ids(&[4, 5])).collect();
    net.reconcile(&desired, &ids(&[]));
    net.run_until("the swap is through", ms(5_000), |net| {
        let membership = net.machine(leader).membership();
        !membership.is_joint() && !membership.contains(removed) && net.agrees()
    });
    let term = net.machine(leader).term();
    net.run_for(ms(3_000));
    assert_eq!((net.leader(), net.machine(leader).term()), (Some(leader), term), "no election happened");
}

#[test]
fn a_leader_that_removes_itself_steps_down_and_another_goes_on() {
    let mut net = Net::new(7, 3);
    let leader = net.elect();
    let rest: BTreeSet<_> = ids(&[1, 2, 3]).into_iter().filter(|member| *member != leader).collect();
    net.reconcile(&rest, &ids(&[]));
    net.run_until("another leads", ms(5_000), |net| net.leader().is_some_and(|new| rest.contains(&new)));
    net.run_until("they agree", ms(5_000), Net::agrees);
    assert_ne!(net.machine(leader).role(), Role::Leader);
    let new = net.leader().unwrap();
    assert_eq!(net.machine(new).membership().voters, rest.iter().copied().collect::<Vec<_>>());
}

#[test]
fn leadership_is_handed_over_without_an_election_timeout() {
    let mut net = Net::new(8, 3);
    let leader = net.elect();
    let to = if leader == id(1) { id(2) } else { id(1) };
    net.run_for(ms(200));
    net.input(leader, Input::Transfer { to });
    net.run_until("it leads", ms(60), |net| net.leader() == Some(to));
    net.input(to, Input::Transfer { to: id(9) });
    assert_eq!(net.refused, 1, "a stranger cannot be handed anything");
}

#[test]
fn proposals_are_dropped_while_handing_over_and_taken_after_giving_up() {
    let mut net = Net::new(9, 3);
    let leader = net.elect();
    let to = if leader == id(1) { id(2) } else { id(1) };
    net.crash(to);
    net.input(leader, Input::Transfer { to });
    assert!(net.machine(leader).is_transferring());
    net.propose(leader, 1);
    assert!(net.dropped.contains(&1));
    net.input(leader, Input::AbortTransfer);
    net.propose(leader, 2);
    assert!(net.proposed.contains_key(&2));
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
fn a_lone_voters_reads_answer_too() {
    let mut net = Net::new(11, 1);
    net.read(id(1), 1);
    net.run_for(ms(100));
    assert!(net.ready_reads[&1] > Index(1), "it waited for the first commit of its term");
}

#[test]
fn a_slow_disk_delays_acknowledgements_and_never_heartbeats() {
    let mut net = Net::new(12, 3);
    let leader = net.elect();
    net.faults = Faults { max_sync_ms: 4_000, ..net.faults };
    let term = net.machine(leader).term();
    net.propose(leader, 1);
    net.run_for(ms(1_500));
    assert_eq!((net.leader(), net.machine(leader).term()), (Some(leader), term));
    net.faults = Faults { max_sync_ms: 3, ..net.faults };
    net.run_until("the sync ends", ms(10_000), Net::agrees);
}

#[test]
fn a_follower_continues_after_a_slow_snapshot_although_its_leader_compacted_meanwhile() {
    let mut net = Net::new(18, 1);
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
fn nobody_stands_for_election_before_its_log_is_synced() {
    let mut net = Net::new(19, 1);
    net.elect();
    net.faults = Faults { max_sync_ms: 100_000, ..net.faults };
    net.propose(id(1), 1);
    net.input(id(1), Input::StepDown);
    net.run_for(ms(2_000));
    assert_eq!(net.machine(id(1)).role(), Role::Follower);
    assert!(net.machine(id(1)).queues().unsynced > 0);
    net.run_until("it leads again once it is", ms(200_000), |net| net.leader().is_some());
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

#[test]
fn what_only_a_leader_can_do_is_refused_elsewhere() {
    let mut net = Net::new(14, 3);
    let leader = net.elect();
    let follower = net.running().into_iter().find(|member| *member != leader).unwrap();
    net.propose(follower, 1);
    assert!(net.dropped.contains(&1));
    for input in [Input::StepDown, Input::Transfer { to: leader }, Input::Change(Default::default())] {
        net.input(follower, input);
    }
    assert_eq!(net.refused, 3);
}

#[test]
fn a_compaction_that_is_not_at_the_applied_index_is_refused() {
    let mut net = Net::new(15, 1);
    net.elect();
    net.run_for(ms(100));
    let applied = net.machine(id(1)).applied();
    net.input(id(1), Input::Compact { index: applied.next(), data: [0; 8].into() });
    net.input(id(1), Input::Compact { index: Index(1), data: [0; 8].into() });
    assert_eq!(net.refused, 2);
    net.input(id(1), Input::Persisted(PersistId(1 << 40)));
    assert_eq!(net.machine(id(1)).queues().unsynced, 0);
}

#[test]
fn a_leader_that_steps_down_lets_others_win() {
    let mut net = Net::new(16, 3);
    let leader = net.elect();
    let term = net.machine(leader).term();
    net.input(leader, Input::StepDown);
    assert_eq!(net.machine(leader).role(), Role::Follower);
    net.run_until("somebody leads", ms(3_000), |net| {
        net.leader().is_some_and(|leader| net.machine(leader).term() > term)
    });
}

#[test]
fn a_heartbeat_that_commits_what_is_not_there_is_refused() {
    let mut net = Net::new(17, 3);
    let leader = net.elect();
    net.run_for(ms(100));
    let follower = net.running().into_iter().find(|member| *member != leader).unwrap();
    let machine = net.machine(follower);
    let message = Message {
        kind: MessageKind::Heartbeat,
        to: follower,
        from: leader,
        term: machine.term(),
        log_term: Term(0),
        index: Index(0),
        entries: Vec::new(),
        commit: machine.last_index().next(),
        commit_term: Term(0),
        snapshot: None,
        request_snapshot: Index(0),
        reject: false,
        reject_hint: Index(0),
        context: Vec::new(),
        priority: 0,
    };
    net.input(follower, Input::Message(message));
    assert_eq!(net.refused, 1);
}

/// Everybody measured the same of the ways to all others.
fn measure(net: &mut Net, rtt: u64, lost_per_thousand: u64) {
    for member in net.running() {
        let others = net.running().into_iter().filter(|other| *other != member);
        let link = |member| Link { member, rtt: ms(rtt), sent: 1_000, lost: lost_per_thousand };
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
