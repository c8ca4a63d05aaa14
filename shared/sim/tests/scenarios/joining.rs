//! A peer set begins with one member and grows by tokens.

use crate::{Scene, settings};
use rafty_node::Answer;
use rafty_seal::Token;
use rafty_sim::tally::Evil;
use rafty_sim::world::LONG_MS;
use rafty_sim::world::{World, ms};
use rafty_types::{ControlCommand, MemberId, Rejection, Settings};

/// What is said of a leader by whoever is not told yet that it votes.
const NOT_KNOWN_TO_VOTE: &str =
    "it does not vote as far as is known here, and only voters send such messages";

#[test]
fn a_founder_alone_leads_opens_a_tenure_writes_and_reads() {
    let mut sim = Scene::new("founder_alone", 1, settings());
    let founder = sim.founder();
    sim.run_until("a tenure", ms(3_000), |sim| sim.aggregator() == Some(founder));
    let write = sim.write(founder, ms(1_000));
    sim.run_until("an answer", ms(500), |sim| sim.answers.contains_key(&write));
    assert!(matches!(sim.answers[&write], Answer::User(..)));
    let read = sim.read(founder);
    sim.run_until("an answer", ms(500), |sim| sim.answers.contains_key(&read));
    let index = sim.node(founder).state().applied();
    assert_eq!(sim.answers[&read], Answer::Readable(index));
    sim.invariants.clients.acknowledged_writes_are_durable(sim.node(founder));
    let status = sim.node(founder).status(None);
    assert_eq!((status.role.as_str(), status.waiting_for.as_str()), ("leader", "no run was submitted yet"));

    let first = status.tenure.unwrap().tenure;
    sim.run_for(settings().tenure + ms(500));
    let tenure = sim.node(founder).status(None).tenure.unwrap();
    assert!(tenure.tenure > first && sim.aggregator() == Some(founder), "a lone voter renews its tenure");
    assert_eq!(sim.dropped, []);
}

#[test]
fn newcomers_join_by_token_learn_and_then_vote() {
    let mut sim = Scene::new("newcomers", 2, settings());
    let founder = sim.founder();
    sim.run_until("a tenure", ms(3_000), |sim| sim.aggregator() == Some(founder));
    sim.write(founder, ms(1_000));
    let token = sim.token(founder, LONG_MS, 2);
    let second = sim.join(founder, &token).unwrap();
    let third = sim.join(founder, &token).unwrap();
    assert_eq!(sim.node(founder).state().control().tokens().len(), 0, "the token is used up");
    let all = vec![founder, second, third];
    sim.run_until("three voters", ms(10_000), |sim| {
        sim.agree() && all.iter().all(|id| sim.node(*id).consensus().membership().voters == all)
    });
    let digests: Vec<_> = all.iter().map(|id| sim.node(*id).state().digest()).collect();
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    let write = sim.write(third, ms(2_000));
    sim.run_until("an answer", ms(2_000), |sim| sim.answers.contains_key(&write));
    assert!(matches!(sim.answers[&write], Answer::User(..)));
    sim.run_until("agreement", ms(2_000), World::agree);
    all.iter().for_each(|id| sim.invariants.clients.acknowledged_writes_are_durable(sim.node(*id)));
    let told_later = |(from, why): &(_, String)| *from == founder && why == NOT_KNOWN_TO_VOTE;
    assert!(sim.dropped.iter().all(told_later), "{:?}", sim.dropped);
}

#[test]
fn a_used_expired_wrong_or_foreign_token_admits_nobody() {
    let mut sim = Scene::new("a_used_expired", 3, settings());
    let founder = sim.founder();
    sim.run_until("a tenure", ms(3_000), |sim| sim.aggregator() == Some(founder));

    let used = sim.token(founder, LONG_MS, 1);
    let member = sim.join(founder, &used).unwrap();
    assert_eq!(sim.join(founder, &used), Err(Rejection::UnknownToken));

    let short = sim.token(founder, 1_000, 1);
    sim.run_for(ms(2_000));
    assert_eq!(sim.join(founder, &short), Err(Rejection::ExpiredToken));

    let known = sim.token(founder, LONG_MS, 1);
    let key = sim.members[&founder].identity.key();
    let mut forged = Token::generate(sim.set.cluster, &key, sim.rng.crypto());
    assert_eq!(sim.join(founder, &forged), Err(Rejection::UnknownToken));
    forged.id = known.id;
    assert_eq!(sim.join(founder, &forged), Err(Rejection::BadSignature));
    let mut foreign = known.clone();
    foreign.cluster = rafty_types::ClusterId([8; 16]);
    assert!(matches!(sim.join(founder, &foreign), Err(Rejection::Invalid(_))));

    let (_, enrolment) = sim.newcomer(&known);
    let repeated = ControlCommand::Enrol(enrolment.clone());
    sim.commit(founder, ControlCommand::Enrol(enrolment)).unwrap();
    assert_eq!(sim.commit(founder, repeated), Err(Rejection::Duplicate));
    let members: Vec<MemberId> = sim.node(founder).state().control().members().keys().copied().collect();
    assert_eq!((members.len(), members[1]), (3, member));
}

#[test]
fn a_voter_gone_for_long_is_replaced_however_often_the_leaders_change_meanwhile() {
    let settings = Settings { target_voters: 3, ..settings() };
    assert!(settings.tenure * 3 < settings.replace_after);
    let mut sim = Scene::new("a_voter_gone", 7, settings.clone());
    let mut all = sim.found(3);
    sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
    let token = sim.token(all[0], LONG_MS, 1);
    let spare = sim.join(all[0], &token).unwrap();
    let gone = *all.iter().find(|id| Some(**id) != sim.leader()).unwrap();
    all.retain(|id| *id != gone);
    sim.kill(gone);
    let voters = |sim: &World, id| sim.node(id).consensus().membership().voters.clone();
    let with_spare: Vec<_> = all.iter().copied().chain([spare]).collect();
    let before = sim.now + settings.replace_after;
    sim.run_until("the replacement", settings.replace_after * 2, |sim| voters(sim, spare) == with_spare);
    assert!(sim.now > before, "not before its time");

    sim.start(gone);
    sim.run_until("it learns", ms(5_000), |sim| sim.agree() && voters(sim, gone) == with_spare);
    let control = sim.node(all[0]).state().control();
    assert!(!control.member(gone).unwrap().seat);
    sim.run_until("it is heard", ms(3_000), |sim| {
        sim.node(gone).state().control().silent_since_ms(gone).is_none()
    });
}

#[test]
fn a_voter_that_is_away_for_a_moment_keeps_its_seat() {
    // A tenure that outlasts the test: seats do not rotate meanwhile.
    let settings = Settings { target_voters: 3, tenure: ms(60_000), ..settings() };
    let mut sim = Scene::new("a_voter_that_is_away", 8, settings);
    let all = sim.found(3);
    sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
    let token = sim.token(all[0], LONG_MS, 1);
    let spare = sim.join(all[0], &token).unwrap();
    let away = *all.iter().find(|id| Some(**id) != sim.leader()).unwrap();
    for _ in 0..3 {
        sim.kill(away);
        sim.run_for(ms(7_000));
        sim.start(away);
        sim.run_for(ms(3_000));
    }
    assert_eq!(sim.node(spare).consensus().membership().voters, all);
}

/// One voter and others that learn; a tenure outlasts the test, so that no seat changes hands by itself.
fn one_voter() -> Settings {
    Settings { target_voters: 1, tenure: ms(60_000), replace_after: ms(60_000), ..settings() }
}

/// Moves the only seat, and leadership with it.
fn move_seat(sim: &mut Scene, from: MemberId, to: MemberId) {
    let is_known = |sim: &World| {
        let progress = sim.node(from).consensus().progress();
        progress.iter().any(|one| one.member == to && one.matched.0 > 0)
    };
    sim.run_until("all are caught up", ms(5_000), |sim| sim.agree() && is_known(sim));
    sim.commit(from, ControlCommand::SeatChanged { give: vec![to], take: vec![from] }).unwrap();
    sim.run_until("the new voter leads", ms(5_000), |sim| sim.aggregator() == Some(to));
}

#[test]
fn a_member_that_was_away_hears_a_leader_that_came_meanwhile() {
    let mut sim = Scene::new("a_member_that_was_away_hears", 9, one_voter());
    let all = sim.found(2);
    let (founder, away) = (all[0], all[1]);
    sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator() == Some(founder));
    sim.kill(away);
    let token = sim.token(founder, LONG_MS, 1);
    let newcomer = sim.join(founder, &token).unwrap();
    move_seat(&mut sim, founder, newcomer);

    sim.start(away);
    sim.run_until("it is told of the leader, and learns", ms(5_000), |sim| sim.agree());
    let leads = [founder, newcomer];
    let told_later = |(from, why): &(_, String)| leads.contains(from) && why == NOT_KNOWN_TO_VOTE;
    assert!(sim.dropped.iter().all(told_later), "{:?}", sim.dropped);
}

#[test]
fn a_member_that_was_away_hears_others_that_all_enrolled_again_meanwhile() {
    let mut sim = Scene::new("a_member_that_was_away_hears_others", 10, one_voter());
    let all = sim.found(3);
    let (mut leader, mut other, away) = (all[0], all[1], all[2]);
    sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator() == Some(leader));
    sim.kill(away);
    for _ in 0..2 {
        move_seat(&mut sim, leader, other);
        sim.lose_disk(leader, ms(100), Evil::Wipe);
        sim.run_until("it enrols again", ms(10_000), |sim| sim.running().len() == 2 && !sim.runs(leader));
        (leader, other) = (other, sim.running().into_iter().find(|id| *id != other).unwrap());
    }
    assert!(sim.running().iter().all(|id| !all.contains(id)), "nobody has the id that it had");

    sim.start(away);
    sim.run_until("it is told of the others, and learns", ms(5_000), |sim| sim.agree());
}
