//! What whoever asks is told: in which order, how often, by whom and when.

use crate::seeds;
use crate::{Scene, settings};
use rafty_dictionary::{EntryCommand, EntryResult};
use rafty_node::{Answer, Input, Request, RequestId};
use rafty_sim::world::{World, ms};
use rafty_types::{Command, ControlCommand, ControlResult, MemberId, Rejection, Serial, SessionId, Settings};

const MIB: usize = 1024 * 1024;

fn three(test: &'static str, seed: u64) -> (Scene, Vec<MemberId>, MemberId) {
    let mut sim = Scene::new(test, seed, Settings { tenure: ms(60_000), ..settings() });
    let all = sim.found(3);
    sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
    let leader = sim.leader().unwrap();
    (sim, all, leader)
}

fn follower(all: &[MemberId], leader: MemberId) -> MemberId {
    *all.iter().find(|id| **id != leader).unwrap()
}

fn set(serial: u64, len: usize) -> Command {
    let (key, value) = (b"last".to_vec(), vec![u8::try_from(serial % 256).unwrap(); len]);
    Command::User(EntryCommand::Set { key, value }.encode())
}

fn open_session(sim: &mut World, at: MemberId) -> SessionId {
    SessionId(sim.commit(at, ControlCommand::SessionOpened).unwrap().0)
}

fn all_done(sim: &mut World, asked: &[RequestId]) {
    sim.run_until("answers", ms(21_000), |sim| asked.iter().all(|id| sim.answers.contains_key(id)));
    for (at, id) in asked.iter().enumerate() {
        let Answer::User(result, _) = &sim.answers[id] else { panic!("{at}: {:?}", sim.answers[id]) };
        assert_eq!(EntryResult::decode(result), Some(EntryResult::Done));
    }
}

/// A client sends many commands of one session without waiting, and leadership changes under way.
fn pipeline(seed: u64) {
    let (mut sim, all, leader) = three("pipelined", seed);
    let at = sim.rng.pick(&all).unwrap();
    let session = open_session(&mut sim, at);
    let fault = sim.rng.below(40);
    let mut asked = Vec::new();
    for serial in 1..=40u64 {
        let request = match at == leader {
            true => Request::CommitHere {
                client: None,
                session: Some((session, Serial(serial))),
                command: set(serial, 9),
            },
            false => Request::Commit {
                client: None,
                session: Some((session, Serial(serial))),
                command: set(serial, 9),
            },
        };
        asked.push(sim.ask(at, request, ms(20_000)));
        let pause = sim.rng.ms((0, 2));
        sim.run_for(pause);
        if serial == fault && at != leader && seed.is_multiple_of(2) {
            sim.kill(leader);
        } else if serial == fault {
            let to = follower(&all, leader);
            sim.say(leader, Input::Transfer(to));
        }
    }
    // A command asked for after leadership was lost is redirected; all before it count, in order.
    sim.run_until("answers", ms(21_000), |sim| asked.iter().all(|id| sim.answers.contains_key(id)));
    let redirected = asked.iter().position(|id| matches!(sim.answers[id], Answer::Redirect(_)));
    let counted = redirected.unwrap_or(asked.len());
    all_done(&mut sim, &asked[..counted]);
    assert!(asked[counted..].iter().all(|id| matches!(sim.answers[id], Answer::Redirect(_))));
    assert!(at == leader || redirected.is_none());
}

#[test]
fn pipelined_commands_of_a_session_count_in_order_though_leadership_changes() {
    seeds(30).for_each(pipeline);
}

#[test]
fn a_command_that_is_turned_down_is_not_overtaken_by_the_next_of_its_session() {
    let (mut sim, _, leader) = three("turned_down", 3);
    let session = open_session(&mut sim, leader);
    // More than the engine takes at once, and small ones that would still fit between.
    let asked: Vec<_> = (1..=40u64)
        .map(|serial| {
            let len = if serial % 2 == 0 { MIB } else { 1 };
            let session = Some((session, Serial(serial)));
            sim.ask(
                leader,
                Request::CommitHere { client: None, session, command: set(serial, len) },
                ms(20_000),
            )
        })
        .collect();
    all_done(&mut sim, &asked);
    assert_eq!(sim.node(leader).state().user().entries.get(b"last"), Some(&vec![40; MIB][..]));
}

#[test]
fn what_a_leader_turns_down_is_tried_again_at_a_walking_pace() {
    let (mut sim, all, leader) = three("walking_pace", 4);
    let asks = follower(&all, leader);
    let gone = *all.iter().find(|id| **id != leader && **id != asks).unwrap();
    sim.kill(gone);
    sim.say(leader, Input::Transfer(gone));
    let before = sim.forwards;
    let write = sim.write(asks, ms(5_000));
    sim.run_for(ms(200));
    let tries = sim.forwards - before;
    assert!((2..=6).contains(&tries), "{tries} tries in four heartbeats");
    sim.run_until("an answer", ms(5_000), |sim| sim.answers.contains_key(&write));
    assert!(matches!(sim.answers[&write], Answer::User(..)), "{:?}", sim.answers[&write]);
}

#[test]
fn who_wants_this_member_to_propose_is_sent_to_the_leader_or_told_that_there_is_none() {
    let (mut sim, all, leader) = three("sent_to_the_leader", 5);
    let other = follower(&all, leader);
    let here = || Request::CommitHere { client: None, session: None, command: set(1, 1) };
    let redirected = sim.ask(other, here(), ms(1_000));
    sim.run_until("an answer", ms(1_000), |sim| sim.answers.contains_key(&redirected));
    assert_eq!(sim.answers[&redirected], Answer::Redirect(leader));
    let done = sim.ask(leader, here(), ms(1_000));
    all_done(&mut sim, &[done]);

    all.iter().filter(|id| **id != other).for_each(|id| sim.kill(*id));
    sim.run_for(ms(2_000));
    let waits = sim.ask(other, here(), ms(700));
    sim.run_for(ms(699));
    assert_eq!(sim.answers.get(&waits), None);
    sim.run_for(ms(2));
    assert_eq!(sim.answers[&waits], Answer::NoLeader);
}

#[test]
fn a_command_that_was_tried_before_its_leader_stepped_down_is_never_said_to_have_changed_nothing() {
    let (mut sim, all, leader) = three("stepped_down", 6);
    let session = open_session(&mut sim, leader);
    all.iter().filter(|id| **id != leader).for_each(|id| sim.cut(leader, *id));
    let session = Some((session, Serial(1)));
    let write = sim.ask(leader, Request::CommitHere { client: None, session, command: set(1, 1) }, ms(3_000));
    sim.run_for(ms(3_001));
    assert_ne!(sim.node(leader).status(None).role, "leader");
    assert_eq!(sim.answers[&write], Answer::Unknown);
}

#[test]
fn a_read_waits_for_a_leader_exactly_as_long_as_it_was_told_to() {
    let (mut sim, all, leader) = three("waiting_read", 7);
    let alone = follower(&all, leader);
    all.iter().filter(|id| **id != alone).for_each(|id| sim.cut(alone, *id));
    let short = sim.ask(alone, Request::Read, ms(300));
    // Longer than consensus tries by itself.
    let long = sim.ask(alone, Request::Read, ms(8_000));
    sim.run_for(ms(301));
    assert_eq!(sim.answers[&short], Answer::NoLeader);
    sim.run_for(ms(6_000));
    assert_eq!(sim.answers.get(&long), None);
    sim.network.heal();
    sim.run_for(ms(1_500));
    assert!(matches!(sim.answers[&long], Answer::Readable(_)));
}

fn change(sim: &mut World, at: MemberId, command: ControlCommand) -> RequestId {
    let command = Command::Control(command);
    sim.ask(at, Request::CommitHere { client: None, session: None, command }, ms(5_000))
}

#[test]
fn one_change_of_membership_at_a_time_and_a_leader_hands_over_before_it_goes() {
    let mut sim = Scene::new("one_change", 8, Settings { tenure: ms(60_000), ..settings() });
    let all = sim.found(4);
    sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
    let leader = sim.leader().unwrap();
    let [one, two] = [1, 2].map(|at| *all.iter().filter(|id| **id != leader).nth(at).unwrap());
    let first = change(&mut sim, leader, ControlCommand::Revoke { member: one });
    let second = change(&mut sim, leader, ControlCommand::Revoke { member: two });
    assert_eq!(sim.answers[&second], Answer::ChangePending);
    sim.run_until("an answer", ms(5_000), |sim| sim.answers.contains_key(&first));
    assert!(matches!(sim.answers[&first], Answer::Control(ControlResult::Done, _)));
    assert!(!sim.node(leader).consensus().membership().contains(one), "it is not needed any more");

    sim.run_for(ms(2_000));
    assert_eq!(sim.leader(), Some(leader));
    let own = change(&mut sim, leader, ControlCommand::Revoke { member: leader });
    sim.run_until("an answer", ms(5_000), |sim| sim.answers.contains_key(&own));
    let Answer::Redirect(new) = sim.answers[&own] else { panic!("{:?}", sim.answers[&own]) };
    assert_ne!(new, leader);
    sim.run_for(ms(1_000));
    let again = change(&mut sim, new, ControlCommand::Revoke { member: leader });
    sim.run_until("an answer", ms(5_000), |sim| sim.answers.contains_key(&again));
    assert!(matches!(sim.answers[&again], Answer::Control(ControlResult::Done, _)));
    assert!(sim.node(new).state().control().member(leader).is_none());
}

#[test]
fn a_silent_member_gets_no_seat_and_the_last_voter_keeps_its_own() {
    let mut sim = Scene::new("silent_member", 9, Settings { target_voters: 1, ..settings() });
    let founder = sim.founder();
    sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
    let token = sim.token(founder, rafty_sim::world::LONG_MS, 2);
    let last = change(&mut sim, founder, ControlCommand::Revoke { member: founder });
    sim.run_for(ms(500));
    let refused =
        Answer::Control(ControlResult::Rejected(Rejection::LastVoter), sim.node(founder).state().applied());
    assert_eq!(sim.answers[&last], refused);

    let newcomer = sim.join(founder, &token).unwrap();
    let other = sim.join(founder, &token).unwrap();
    sim.run_for(ms(2_000));
    sim.kill(newcomer);
    sim.run_for(ms(4_000));
    let seat = ControlCommand::SeatChanged { give: vec![newcomer, other], take: Vec::new() };
    let silent = change(&mut sim, founder, seat.clone());
    assert!(matches!(
        &sim.answers[&silent],
        Answer::Control(ControlResult::Rejected(Rejection::Invalid(_)), _)
    ));
    sim.start(newcomer);
    sim.run_for(ms(2_000));
    let seated = change(&mut sim, founder, seat);
    sim.run_for(ms(1_000));
    assert!(
        matches!(sim.answers[&seated], Answer::Control(ControlResult::Done, _)),
        "{:?}",
        sim.answers[&seated]
    );
    assert!(sim.node(founder).consensus().membership().votes(newcomer));
}
