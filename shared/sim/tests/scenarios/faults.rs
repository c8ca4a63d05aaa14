//! Single faults, each by itself: a killed leader, a member that comes late, one that is sent away.

use crate::rounds::published_once;
use crate::seeds;
use crate::{Scene, settings};
use rafty_dictionary::{EntryCommand, EntryResult};
use rafty_node::{Answer, Request};
use rafty_sim::world::LONG_MS;
use rafty_sim::world::{World, ms};
use rafty_types::{Command, ControlCommand, ControlResult, MemberId, Rejection, Serial, SessionId, Settings};
use std::time::Duration;

/// How long writers would wait: much longer than they have to.
const PATIENT: Duration = ms(60_000);

/// The leader is killed while writes are under way at all members.
fn kill_the_leader(seed: u64) -> usize {
    let mut sim = Scene::new("killed_leader", seed, settings());
    let all = sim.found(3);
    sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
    let mut asked_of_others = Vec::new();
    let leader = sim.leader().unwrap();
    for turn in 0..30 {
        let from = all[turn % all.len()];
        let write = sim.write(from, PATIENT);
        if from != leader {
            asked_of_others.push(write);
        }
        let pause = sim.rng.ms((0, 4));
        sim.run_for(pause);
    }
    sim.kill(leader);
    let survivor = *all.iter().find(|id| **id != leader).unwrap();
    asked_of_others.push(sim.write(survivor, PATIENT));
    sim.run_for(ms(3_500));
    assert!(sim.leader().is_some_and(|new| new != leader));
    assert!(
        asked_of_others.iter().all(|write| sim.answers.contains_key(write)),
        "every request ends soon after"
    );
    sim.start(leader);
    sim.run_until("agreement", ms(5_000), World::agree);
    all.iter().for_each(|id| sim.invariants.clients.acknowledged_writes_are_durable(sim.node(*id)));
    asked_of_others.iter().filter(|write| sim.answers[write] == Answer::Unknown).count()
}

#[test]
fn a_killed_leader_loses_no_acknowledged_write_and_nobody_is_told_a_wrong_answer() {
    let unknown: usize = seeds(40).map(kill_the_leader).sum();
    assert!(unknown > 0, "no write was under way when the leader was killed");
}

/// A client sets and deletes keys within a session, one command after the other, and the leader is killed meanwhile.
fn repeat_within_a_session(seed: u64) {
    let mut sim = Scene::new("within_a_session", seed, settings());
    let all = sim.found(3);
    sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
    let leader = sim.leader().unwrap();
    let client = *all.iter().find(|id| **id != leader).unwrap();
    let session = SessionId(sim.commit(client, ControlCommand::SessionOpened).unwrap().0);
    let doomed = sim.rng.below(20);
    for serial in 1..=20u64 {
        let key = (serial / 2).to_le_bytes().to_vec();
        let set = serial % 2 == 0;
        let command = if set || serial == 1 {
            EntryCommand::Set { key, value: vec![1] }
        } else {
            EntryCommand::Delete { key }
        };
        let command = Command::User(command.encode());
        let request = Request::Commit { client: None, session: Some((session, Serial(serial))), command };
        let request = sim.ask(client, request, ms(6_000));
        if serial == doomed {
            let pause = sim.rng.ms((0, 12));
            sim.run_for(pause);
            sim.kill(leader);
        }
        sim.run_until("an answer", ms(7_000), |sim| sim.answers.contains_key(&request));
        let Answer::User(result, _) = &sim.answers[&request] else {
            panic!("a command with a session can always be sent again: {:?}", sim.answers[&request])
        };
        assert_eq!(EntryResult::decode(result), Some(EntryResult::Done), "it was applied twice");
    }
}

#[test]
fn within_a_session_a_command_counts_once_though_the_leader_is_killed() {
    seeds(20).for_each(repeat_within_a_session);
}

#[test]
fn a_member_that_comes_late_catches_up_by_snapshot() {
    let settings = Settings { compact_after: 20, tail: 5, ..settings() };
    let mut sim = Scene::new("comes_late", 6, settings);
    let all = sim.found(3);
    sim.begin_run(2);
    sim.run_until("two rounds", ms(20_000), |sim| sim.all_have(2));
    let late = *all.iter().find(|id| Some(**id) != sim.leader()).unwrap();
    sim.kill(late);
    let other = *all.iter().find(|id| **id != late).unwrap();
    for _ in 0..200 {
        let leader = sim.leader();
        sim.write(leader.unwrap_or(other), ms(5_000));
        sim.run_for(ms(20));
    }
    let before = sim.snapshots;
    sim.start(late);
    sim.run_until("agreement", ms(5_000), World::agree);
    assert!(sim.snapshots > before, "the log that it missed is compacted");
    sim.invariants.clients.acknowledged_writes_are_durable(sim.node(late));
    published_once(&sim, 2);

    let founder = all[0];
    let token = sim.token(founder, LONG_MS, 2);
    let newcomer = sim.join(founder, &token).unwrap();
    // A fourth member learns; with a fifth, both vote.
    sim.join(founder, &token).unwrap();
    sim.run_until("the newcomer votes", ms(10_000), |sim| {
        sim.agree() && sim.node(newcomer).consensus().membership().votes(newcomer)
    });
    sim.invariants.clients.acknowledged_writes_are_durable(sim.node(newcomer));
    sim.run_until("the newcomer has the model", ms(10_000), |sim| sim.all_have(2));
    let logs = all.iter().map(|id| sim.node(*id).consensus().log_len()).max().unwrap();
    assert!(logs < 100, "a log of {logs} entries is not compacted");
}

/// Sends a member away; the others go on.
fn revoke(sim: &mut World, from: MemberId, whom: MemberId) {
    let request = sim.control(from, ControlCommand::Revoke { member: whom });
    let rest: Vec<_> = sim.members.keys().copied().filter(|id| *id != whom).collect();
    sim.run_until("the rest goes on", ms(10_000), |sim| {
        rest.iter().all(|id| {
            let process = sim.members[id].process.as_ref().unwrap();
            process.roster.values().all(|id| *id != whom)
                && process.node.consensus().membership().voters == rest
        })
    });
    sim.run_until("a tenure", ms(10_000), |sim| sim.aggregator().is_some_and(|leader| leader != whom));
    sim.run_until("an answer", ms(6_000), |sim| sim.answers.contains_key(&request));
    assert!(matches!(&sim.answers[&request], Answer::Control(ControlResult::Done, _)));
    let write = sim.write(rest[0], ms(3_000));
    sim.run_until("an answer", ms(3_000), |sim| sim.answers.contains_key(&write));
    assert!(matches!(sim.answers[&write], Answer::User(..)));
}

#[test]
fn a_revoked_member_is_out_of_every_roster_and_ends() {
    for seed in seeds(10) {
        let mut sim = Scene::new("revoked_member", seed, settings());
        let all = sim.found(4);
        sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
        let leader = sim.leader().unwrap();
        let whom = *all.iter().find(|id| **id != leader).unwrap();
        revoke(&mut sim, leader, whom);
        // It hears of it when the others refuse it.
        sim.run_until("its end", ms(30_000), |sim| sim.members[&whom].process.is_none());
        let key = sim.members[&whom].identity.key();
        let member = sim.node(leader).state().control().member_by_key(&key);
        assert_eq!(member.map(|member| member.id), None);
    }
}

#[test]
fn a_leader_can_be_revoked() {
    for seed in seeds(10) {
        let mut sim = Scene::new("leader_can_be", seed, settings());
        let all = sim.found(4);
        sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
        let leader = sim.leader().unwrap();
        let other = *all.iter().find(|id| **id != leader).unwrap();
        revoke(&mut sim, other, leader);
        let process = &sim.members[&leader].process;
        assert!(process.as_ref().is_none_or(|process| process.node.status(None).role != "leader"));
    }
}

#[test]
fn the_last_voter_cannot_be_revoked() {
    let mut sim = Scene::new("last_voter", 8, settings());
    let founder = sim.founder();
    sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
    let revoked = sim.commit(founder, ControlCommand::Revoke { member: founder });
    assert_eq!(revoked, Err(Rejection::LastVoter));
}

#[test]
fn a_leader_can_send_itself_away_and_is_told_so() {
    for seed in seeds(10) {
        let mut sim = Scene::new("send_itself_away", seed, settings());
        sim.found(3);
        sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
        let leader = sim.leader().unwrap();
        assert!(sim.commit(leader, ControlCommand::Revoke { member: leader }).is_ok());
        sim.run_until("its end", ms(6_000), |sim| sim.members[&leader].halted.is_some());
        sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
    }
}

#[test]
fn of_two_voters_one_can_be_sent_away() {
    for seed in seeds(10) {
        let mut sim = Scene::new("of_two_voters", seed, settings());
        let all = sim.found(2);
        sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
        let leader = sim.leader().unwrap();
        let other = *all.iter().find(|id| **id != leader).unwrap();
        // The leader has the only seat, and leaves it to the other.
        let (from, whom) = if seed % 2 == 0 { (leader, other) } else { (other, leader) };
        revoke(&mut sim, from, whom);
        sim.run_for(ms(10_000));
        assert!(sim.members[&whom].halted.is_some(), "it ends once it is not needed any more");
    }
}

#[test]
fn who_was_sent_away_can_be_switched_off_as_soon_as_that_is_acknowledged() {
    for seed in seeds(10) {
        let mut sim = Scene::new("switched_off", seed, settings());
        let all = sim.found(2);
        sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
        let leader = sim.leader().unwrap();
        let other = *all.iter().find(|id| **id != leader).unwrap();
        let revoke = ControlCommand::Revoke { member: other };
        if seed % 2 == 0 {
            sim.commit(leader, revoke).unwrap();
            sim.kill(other);
        } else {
            // Its process tells who asked, and ends.
            sim.control(other, revoke);
            sim.run_until("its end", ms(6_000), |sim| !sim.runs(other));
        }
        sim.run_for(ms(5_000));
        assert_eq!(sim.leader(), Some(leader));
        let write = sim.write(leader, ms(3_000));
        sim.run_until("an answer", ms(3_000), |sim| sim.answers.contains_key(&write));
        assert!(matches!(sim.answers[&write], Answer::User(..)));
    }
}

/// The engine never lets go of a learner's last leader: that a member has one says nothing.
#[test]
fn learners_that_were_revoked_together_do_not_keep_each_other() {
    let mut sim = Scene::new("revoked_together", 7, Settings { target_voters: 3, ..settings() });
    let all = sim.found(8);
    sim.run_for(ms(30_000));
    let leader = sim.aggregator().expect("a leader");
    let voters = sim.node(leader).consensus().membership().voters.clone();
    let gone: Vec<_> = all.iter().copied().filter(|id| !voters.contains(id)).take(2).collect();
    let rest: Vec<_> = all.iter().copied().filter(|id| !gone.contains(id)).collect();
    sim.network.part(&gone, &rest);
    for whom in &gone {
        sim.run_until("a leader", ms(1_000), |sim| sim.aggregator().is_some());
        let leader = sim.aggregator().expect("a leader");
        sim.control(leader, ControlCommand::Revoke { member: *whom });
        sim.run_for(ms(10_000));
    }
    sim.network.heal();
    sim.run_until("both end", ms(90_000), |sim| sim.running() == rest);
}
