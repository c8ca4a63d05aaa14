//! Runs and their rounds: what counts and what does not.

use crate::script::*;
use rafty_dictionary::{
    Event, KEPT_ROUNDS, KEPT_RUNS, KEPT_VERSIONS, MAX_FAILURES, MAX_REASON_LEN, MAX_REFUSED,
};
use rafty_types::ControlCommand as C;
use rafty_types::MemberKind::Agent;
use rafty_types::*;

/// Ann leads, Bob and Eve are devices, a run of `rounds` is active.
fn training(rounds: u32) -> Script {
    let mut story = Script::founded_by("ann");
    story.joins("bob", Agent);
    story.joins("eve", Agent);
    story.submits("ann", rounds);
    story.leads("ann");
    story
}

#[test]
fn a_run_is_submitted_within_bounds_and_one_at_a_time() {
    let mut story = Script::founded_by("ann");
    for wrong in [
        RunSpec { name: String::new(), ..run_spec(1) },
        RunSpec { name: "n".repeat(MAX_NAME_LEN + 1), ..run_spec(1) },
        RunSpec { task: String::new(), ..run_spec(1) },
        RunSpec { task: "t".repeat(MAX_TASK_LEN + 1), ..run_spec(1) },
        run_spec(0),
        run_spec(100_001),
    ] {
        assert!(matches!(story.cannot("ann", C::RunSubmitted(wrong)), Rejection::Invalid(_)));
    }
    let run = story.submits("ann", 100_000);
    assert_eq!(story.cannot("ann", C::RunSubmitted(run_spec(1))), Rejection::RunActive);
    assert_eq!(story.does("ann", C::RunStopped { run }), [Event::RunEnded(run)]);
    assert_eq!(story.cannot("ann", C::RunStopped { run }), Rejection::UnknownRun);
    story.submits("ann", 1);
}

#[test]
fn a_round_opens_once_in_order_and_from_the_current_version() {
    let mut story = training(3);
    let opened = |story: &Script, round, base| C::RoundOpened {
        tenure: story.tenure(),
        run: story.run().id,
        round: Round(round),
        base: Version(base),
        protection: Protection::None,
    };
    for wrong in [opened(&story, 2, 0), opened(&story, 0, 0), opened(&story, 1, 1)] {
        assert!(matches!(story.cannot("ann", wrong), Rejection::Invalid(_)));
    }
    story.does("ann", opened(&story, 1, 0));
    assert_eq!(story.cannot("ann", opened(&story, 1, 0)), Rejection::Duplicate);
}

#[test]
fn an_update_counts_once_per_attempt_and_only_of_a_member() {
    let mut story = training(3);
    story.does("ann", story.open());
    let good = story.accept("bob", "b");
    let alter = |change: fn(&mut MemberId, &mut Round, &mut Attempt, &mut u64)| {
        let mut command = good.clone();
        let C::UpdateAccepted { participant, round, attempt, num_examples, .. } = &mut command else {
            panic!()
        };
        change(participant, round, attempt, num_examples);
        command
    };
    assert_eq!(story.cannot("ann", alter(|who, _, _, _| *who = MemberId(99))), Rejection::UnknownMember);
    assert_eq!(story.cannot("ann", alter(|_, round, _, _| *round = Round(2))), Rejection::NotOpen);
    assert_eq!(story.cannot("ann", alter(|_, _, attempt, _| *attempt = Attempt(2))), Rejection::NotOpen);
    let weightless: [fn(&mut MemberId, &mut Round, &mut Attempt, &mut u64); 3] = [
        |_, _, _, weight| *weight = 0,
        |_, _, _, weight| *weight = MAX_EXAMPLES + 1,
        |_, _, _, weight| *weight = u64::MAX,
    ];
    for change in weightless {
        assert!(matches!(story.cannot("ann", alter(change)), Rejection::Invalid(_)));
    }
    story.does("ann", good.clone());
    assert_eq!(story.cannot("ann", good), Rejection::Duplicate);
    assert_eq!(story.cannot("ann", story.accept("bob", "another")), Rejection::Duplicate);
    let accepted = &story.run().open.as_ref().unwrap().accepted;
    assert_eq!(
        accepted[&story.id("bob")],
        Accepted { digest: digest("b"), num_examples: 100, arrived_ms: Some(1_000) }
    );
}

#[test]
fn collecting_time_never_runs_back() {
    let mut story = training(3);
    story.does("ann", story.open());
    for (who, reading, expected) in [("bob", 5_000, 5_000), ("eve", 4_000, 5_000)] {
        let mut command = story.accept(who, "u");
        let C::UpdateAccepted { collected_ms, .. } = &mut command else { panic!() };
        *collected_ms = reading;
        story.does("ann", command);
        assert_eq!(story.run().open.as_ref().unwrap().collected_ms, expected);
    }
}

#[test]
fn a_publication_counts_accepted_updates_each_once_and_makes_the_next_version() {
    let mut story = training(3);
    story.does("ann", story.open());
    story.does("ann", story.accept("bob", "b"));
    story.does("ann", story.accept("eve", "e"));
    let wrong: [fn(&mut Publication); 9] = [
        |publication| publication.counted.clear(),
        |publication| publication.counted[1] = publication.counted[0],
        |publication| publication.counted[0].1 = digest("forged"),
        |publication| publication.counted.push((MemberId(1), digest("a"))),
        |publication| publication.version = Version(2),
        |publication| publication.version = Version(0),
        |publication| publication.refused = vec![(MemberId(1), Refusal::NotFinite); MAX_REFUSED + 1],
        |publication| publication.metrics.correct = publication.metrics.examples + 1,
        |publication| publication.metrics.examples = 2 * MAX_EXAMPLES + 1,
    ];
    for alter in wrong {
        let mut publication = story.publication(&[("bob", "b"), ("eve", "e")], "m");
        alter(&mut publication);
        assert!(matches!(story.cannot("ann", C::RoundPublished(publication)), Rejection::Invalid(_)));
    }
    let mut stale = story.publication(&[("bob", "b")], "m");
    stale.attempt = Attempt(2);
    assert_eq!(story.cannot("ann", C::RoundPublished(stale)), Rejection::NotOpen);

    let mut subset = story.publication(&[("eve", "e")], "m");
    subset.refused = vec![(story.id("bob"), Refusal::OverNorm)];
    story.does("ann", C::RoundPublished(subset.clone()));
    assert_eq!(story.run().history[0].refused, subset.refused);
    assert_eq!(story.cannot("ann", C::RoundPublished(subset)), Rejection::NotOpen);
}

#[test]
fn a_failed_attempt_clears_what_was_accepted_and_says_why() {
    let mut story = training(3);
    story.does("ann", story.open());
    story.does("ann", story.accept("bob", "b"));
    let events = story.does("ann", story.fail(&"ü".repeat(500)));
    let [Event::RoundFailed { attempt: Attempt(1), reason, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(reason.chars().count(), MAX_REASON_LEN);
    let open = story.run().open.as_ref().unwrap();
    assert_eq!((open.attempt, open.failed, open.collected_ms), (Attempt(2), 1, 1_000));
    assert!(open.accepted.is_empty());
    for _ in 0..20 {
        story.does("ann", story.fail("no quorum"));
    }
    let open = story.run().open.as_ref().unwrap();
    assert_eq!((open.failed, open.failures.len()), (21, MAX_FAILURES));
}

#[test]
fn a_run_rolls_back_to_a_kept_version_and_goes_on_from_there() {
    let mut story = training(100);
    let run = story.run().id;
    for n in 1..=10 {
        story.round_by("ann", &format!("m{n}"));
    }
    assert_eq!(story.run().versions.len(), KEPT_VERSIONS);
    let back = |version| C::RolledBack { run, version: Version(version) };
    assert!(matches!(story.cannot("ann", back(2)), Rejection::Invalid(_)), "too old");
    assert!(matches!(story.cannot("ann", back(11)), Rejection::Invalid(_)), "not yet made");
    assert_eq!(story.cannot("ann", back(10)), Rejection::Duplicate);

    assert_eq!(story.does("ann", back(7)), [Event::RolledBack { run, version: Version(7) }]);
    assert_eq!((story.run().version, story.run().model), (Version(7), Some(digest("m7"))));
    story.round_by("ann", "other");
    assert_eq!((story.run().round, story.run().version), (Round(11), Version(8)));
    assert_eq!(story.run().versions[&Version(8)], digest("other"));

    story.does("ann", back(0));
    assert_eq!((story.run().version, story.run().model), (Version(0), None));
}

#[test]
fn what_is_remembered_of_runs_is_bounded() {
    let mut story = training(100_000);
    for n in 0..KEPT_ROUNDS + 2 {
        story.round_by("ann", &n.to_string());
    }
    assert_eq!(story.run().history.len(), KEPT_ROUNDS);
    let arrivals: Vec<u64> = story.run().arrivals.of(story.id("ann"), story.run().round).collect();
    assert_eq!(arrivals, [1_000; KEPT_ARRIVALS]);
    let first = story.run().id;
    story.does("ann", C::RunStopped { run: first });
    for _ in 1..KEPT_RUNS {
        let run = story.submits("ann", 1);
        story.does("ann", C::RunStopped { run });
    }
    assert!(story.state.control().runs().contains_key(&first));
    story.submits("ann", 1);
    assert_eq!(story.state.control().runs().len(), KEPT_RUNS);
    assert!(!story.state.control().runs().contains_key(&first));
}
