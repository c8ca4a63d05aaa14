//! Scripts of events, and what the story makes of them.

use super::*;
use crate::demo::kill;
use rafty_types::{Metrics, RunId, Term, Version};

const P: MemberId = MemberId(1);
const A: MemberId = MemberId(5);
const B: MemberId = MemberId(9);

fn story() -> Story {
    let agent = |id: MemberId| (id, format!("agent {id}"), MemberKind::Agent);
    Story::with_actors([(P, "peer 1".into(), MemberKind::Operator), agent(A), agent(B)])
}

fn line(at_ms: u64, member: MemberId, event: Event) -> Line {
    Line { at_us: at_ms * 1_000, member, event }
}

fn tenure(at_ms: u64, tenure: u64, aggregator: MemberId) -> Line {
    let event = Event::TenureBegan { tenure: Tenure(tenure), term: Term(tenure), aggregator };
    line(at_ms, P, event)
}

fn opened(at_ms: u64, round: u64) -> Line {
    line(at_ms, P, Event::RoundOpened { run: RunId(20), round: Round(round) })
}

fn key(tenure: u64, round: u64, attempt: u64) -> AttemptKey {
    AttemptKey { tenure: Tenure(tenure), run: RunId(20), round: Round(round), attempt: Attempt(attempt) }
}

fn sealed(at_ms: u64, member: MemberId, key: AttemptKey) -> Line {
    line(at_ms, member, Event::Round(RoundEvent::UpdateSealed { key, to: P }))
}

fn accepted(at_ms: u64, round: u64, attempt: u64, participant: MemberId) -> Line {
    let (round, attempt, digest) = (Round(round), Attempt(attempt), Digest::of(b"update"));
    let num_examples = 100;
    line(
        at_ms,
        P,
        Event::UpdateAccepted { run: RunId(20), round, attempt, participant, digest, num_examples },
    )
}

fn closed(at_ms: u64, member: MemberId, key: AttemptKey) -> Line {
    line(at_ms, member, Event::Round(RoundEvent::Closed { key, accepted: 1, cohort: 2 }))
}

fn published(at_ms: u64, key: AttemptKey, aggregator: MemberId, counted: &[MemberId]) -> Line {
    let round = RoundLine {
        round: key.round,
        tenure: key.tenure,
        aggregator,
        attempts: key.attempt,
        counted: counted.iter().map(|member| (*member, Digest::default(), 100)).collect(),
        refused: Vec::new(),
        resting: Vec::new(),
        metrics: Metrics::default(),
        version: Version(key.round.0),
        model: Digest::of(b"model"),
        duration_ms: 1_000,
    };
    line(at_ms, P, Event::RoundPublished { run: RunId(20), round: Box::new(round) })
}

fn lost(story: &Story) -> Vec<(Round, MemberId)> {
    story.lost_updates().into_keys().collect()
}

#[test]
fn the_same_happening_is_news_once() {
    let mut story = story();
    assert_eq!(story.hear(&tenure(10, 7, A)).as_deref(), Some("tenure 7 (term 7): agent 5 is aggregator"));
    let again = Line { member: B, at_us: 12_000, ..tenure(10, 7, A) };
    assert_eq!(story.hear(&again), None);
    assert_eq!(story.tenures[&Tenure(7)].began_ms, 10);
    assert!(story.hear(&opened(20, 1)).is_some());
    assert!(story.hear(&accepted(30, 1, 1, A)).is_some());
    assert!(story.hear(&accepted(31, 1, 1, A)).is_none());
    assert!(story.hear(&published(40, key(7, 1, 1), A, &[A])).is_some());
    assert!(story.hear(&published(41, key(7, 1, 1), A, &[A])).is_none());
    assert_eq!(story.published_rounds(), 1);
    assert_eq!(story.updates(), UpdateCount { sealed: 0, accepted: 1, refused: 0 });
}

#[test]
fn a_kill_waits_for_half_way_and_an_update() {
    let mut story = story();
    story.hear(&tenure(10, 7, A));
    story.hear(&opened(20, 1));
    story.hear(&accepted(30, 1, 1, B));
    assert_eq!(kill::target(&story, 4), None, "not half-way");
    story.hear(&published(40, key(7, 1, 1), A, &[B]));
    story.hear(&opened(50, 2));
    assert_eq!(kill::target(&story, 4), None, "nothing is in");
    story.hear(&accepted(60, 2, 1, B));
    assert_eq!(kill::target(&story, 4), Some((A, Round(2))));
    story.hear(&closed(61, A, key(7, 2, 1)));
    assert_eq!(kill::target(&story, 4), None, "too late for this round");
}

#[test]
fn recovery_ends_with_the_next_tenure_and_attempts_start_empty() {
    let mut story = story();
    story.hear(&tenure(10, 7, A));
    story.hear(&opened(20, 2));
    story.hear(&accepted(30, 2, 1, B));
    story.killed(A, Round(2), 100);
    assert_eq!(story.recovered_ms(), None);
    story.hear(&tenure(450, 12, B));
    story.hear(&tenure(5_450, 15, P));
    assert_eq!(story.recovered_ms(), Some(350));
    assert!(story.rounds[&Round(2)].accepted.is_empty());
    assert_eq!(kill::target(&story, 2), None, "one kill is enough");
    story.hear(&published(6_000, key(15, 2, 2), P, &[B]));
    story.restarted(7_000);
    story.holds(A, 1);
    assert!(!story.kill.as_ref().unwrap().caught_up);
    story.holds(A, 2);
    assert!(story.kill.as_ref().unwrap().caught_up);
}

#[test]
fn an_update_is_lost_when_it_came_in_time_and_is_not_mentioned() {
    let mut story = story();
    story.hear(&tenure(10, 7, P));
    story.hear(&opened(20, 1));
    story.hear(&sealed(30, A, key(7, 1, 1)));
    story.hear(&sealed(40, B, key(7, 1, 1)));
    assert_eq!(lost(&story), [], "the round is not over");
    story.hear(&closed(50, P, key(7, 1, 1)));
    story.hear(&published(60, key(7, 1, 1), P, &[A]));
    assert_eq!(story.lost_updates(), BTreeMap::from([((Round(1), B), 10)]));
}

#[test]
fn an_update_after_the_close_is_late_and_not_lost() {
    let mut story = story();
    story.hear(&opened(20, 1));
    story.hear(&closed(50, P, key(7, 1, 1)));
    story.hear(&sealed(51, B, key(7, 1, 1)));
    story.hear(&published(60, key(7, 1, 1), P, &[A]));
    assert_eq!(lost(&story), []);
}

#[test]
fn an_update_of_an_earlier_attempt_must_count_in_the_next() {
    let mut story = story();
    story.hear(&opened(20, 1));
    story.hear(&sealed(30, A, key(7, 1, 1)));
    story.hear(&sealed(31, B, key(7, 1, 1)));
    story.killed(B, Round(1), 40);
    story.hear(&tenure(300, 9, P));
    story.hear(&sealed(310, A, key(9, 1, 2)));
    story.hear(&closed(320, P, key(9, 1, 2)));
    story.hear(&published(330, key(9, 1, 2), P, &[A]));
    assert_eq!(lost(&story), [], "the killed one was not live");
    let mut forgetful = story.clone();
    forgetful.rounds.clear();
    forgetful.hear(&published(330, key(9, 1, 2), P, &[]));
    assert_eq!(lost(&forgetful), [(Round(1), A)]);
}
