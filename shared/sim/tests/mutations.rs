//! The mutation check: deliberate bugs, one at a time, each of which the simulator must catch, by the property that
//! ought to catch it, within a bounded number of seeds. A bug that none of them catches shows a check that is missing.
//!
//! `cargo test -p rafty-sim --features mutations --test mutations -- --nocapture` prints which seed caught what.
//! `RAFTY_MUTATION=VoteForgotten` tries only those whose name holds this text.
#![cfg(feature = "mutations")]

use Mutation as M;
use rafty_sim::faults::Fault;
use rafty_sim::run::{over_slow_links, recover, run};
use rafty_sim::story::Plan;
use rafty_sim::world::Finding;
use rafty_types::mutation::{Mutation, plant};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// A bug must be caught within so many seeds, of those that may lead to it.
const MAX_SEEDS: usize = 200;
/// Threads side by side.
const JOBS: usize = 2;

/// A bug and what must notice it.
struct Case {
    mutation: Mutation,
    /// How many members there are, when the number drawn from the seed would seldom lead to the bug.
    members: Option<u64>,
    /// Whether what a seed brings can lead to the bug at all.
    may_lead_to_it: fn(&Plan) -> bool,
    /// Whether copies run beside their originals again and again, when what is drawn would seldom lead to the bug.
    twins: bool,
    /// The properties that ought to be found broken, any one of them.
    caught_by: &'static [&'static str],
}

const fn case(mutation: Mutation, caught_by: &'static [&'static str]) -> Case {
    Case { mutation, members: None, may_lead_to_it: |_| true, twins: false, caught_by }
}

impl Case {
    fn plan(&self, seed: u64) -> Plan {
        let plan = Plan::draw(seed, self.members);
        if self.twins { plan.with_twins() } else { plan }
    }
}

/// Devices change their addresses.
fn moves(plan: &Plan) -> bool {
    plan.finding.is_some()
}

/// Members lie.
fn lies(plan: &Plan) -> bool {
    plan.faults.iter().any(|planned| matches!(planned.fault, Fault::Forges { .. }))
}

/// Devices do, too.
fn devices_lie(plan: &Plan) -> bool {
    plan.devices > 0 && lies(plan)
}

/// Only names lead to those that have moved.
fn has_names(plan: &Plan) -> bool {
    plan.finding == Some(Finding::Names)
}

const CASES: &[Case] = &[
    case(M::VoteBeforeSync, &["promises are durable"]),
    case(M::VoteForgotten, &["one vote each", "election safety"]),
    case(M::VoteForAnyLog, &["leader completeness", "state-machine safety"]),
    case(M::AckBeforeSync, &["promises are durable"]),
    case(M::SnapshotAckBeforeSync, &["promises are durable"]),
    case(M::OwnAckBeforeSync, &["commitment"]),
    case(M::OldTermCommitted, &["commitment"]),
    case(M::SingleStepMembership, &["one voter set overlap"]),
    case(M::StaleRead, &["linearizability"]),
    case(
        M::CompactedTooFar,
        &["what the engine hands out as committed stands in the log", "promises are durable"],
    ),
    Case { members: Some(3), ..case(M::CopyVotes, &["copies promise nothing"]) },
    Case { members: Some(3), ..case(M::IncarnationsComparedByNumber, &["copies promise nothing"]) },
    Case { members: Some(2), ..case(M::LoneVoterAsksNobody, &["election safety", "leader completeness"]) },
    // A tenure is named by its index: where two histories are committed, it may have two holders.
    Case { members: Some(3), ..case(M::HeartbeatCommitsUnseen, &["state-machine safety", "tenure fencing"]) },
    Case { members: Some(3), twins: true, ..case(M::UncountedStartHolds, &["models are reachable"]) },
    case(M::HandOverNeverEnds, &["liveness"]),
    case(M::WokenInThePast, &["no spin"]),
    case(M::SuccessionIgnoresTenures, &["fairness of tenures"]),
    Case { members: Some(1), ..case(M::RenewedTenureTakenForOver, &["liveness"]) },
    case(M::SessionCommandAppliedAgain, &["exactly once", "linearizability"]),
    case(
        M::SessionsLeftOutOfSnapshot,
        &["snapshots are whole", "state-machine safety", "linearizability", "only who diverged stops"],
    ),
    case(M::ClockLeftOutOfSnapshot, &["snapshots are whole"]),
    Case { members: Some(1), ..case(M::TenureNamedByTerm, &["tenure fencing"]) },
    // A state with an even number of seats breaks a rule of its own: whoever compares it sees that, or whoever restores it.
    case(M::EvenSeats, &["state-machine safety", "a sound disk makes a member"]),
    Case { members: Some(8), ..case(M::DeadVoterKeepsSeat, &["dead voters are replaced"]) },
    case(M::SeatsShrinkToOne, &["seats never shrink to one"]),
    case(M::TenureNotFenced, &["state-machine safety"]),
    case(M::FailedRoundPassedOver, &["rounds are never lost"]),
    case(M::ApplyDependsOnMember, &["state-machine safety", "stale reads", "linearizability"]),
    Case { may_lead_to_it: lies, ..case(M::EverybodyHasAVoice, &["only voters are followed", "commitment"]) },
    Case { may_lead_to_it: lies, ..case(M::AnyTermBelieved, &["one voice brings no far term"]) },
    case(M::VotersNotAskedFor, &["liveness"]),
    Case { may_lead_to_it: lies, ..case(M::AnybodySaysWhoVotes, &["voters are named by voters"]) },
    Case {
        may_lead_to_it: lies,
        ..case(M::NewcomersListenToEverybody, &["one voice brings no far term", "liveness"])
    },
    Case { may_lead_to_it: lies, ..case(M::AnybodyRenamesMembers, &["members are renamed by voters"]) },
    Case {
        may_lead_to_it: devices_lie,
        ..case(M::AnybodyMovesLeadership, &["forbidden requests move no leader"])
    },
    Case { may_lead_to_it: lies, ..case(M::LeaderIsBelieved, &["only what was issued counts"]) },
    Case { may_lead_to_it: lies, ..case(M::IssueCountsAgain, &["what was issued counts once"]) },
    Case { may_lead_to_it: lies, ..case(M::SessionIsAnybodys, &["sessions are their owners'"]) },
    Case {
        may_lead_to_it: lies,
        ..case(
            M::SerialKeepsNoDigest,
            &["linearizability", "acknowledged writes are durable", "exactly once"],
        )
    },
    Case { may_lead_to_it: lies, ..case(M::FloodEvictsOthers, &["sessions are their owners'"]) },
    Case {
        may_lead_to_it: devices_lie,
        ..case(M::ActsBeforePermission, &["forbidden requests move no leader"])
    },
    Case { may_lead_to_it: lies, ..case(M::DutiesForwarded, &["duties are the leader's"]) },
    case(M::SeatsGivenBlindly, &["seats go to those that have the log"]),
    Case { may_lead_to_it: lies, ..case(M::AnyReturnReplaces, &["only who lost its log is replaced"]) },
    Case { may_lead_to_it: lies, ..case(M::AnyAttemptOpened, &["publications are of the open attempt"]) },
    Case { may_lead_to_it: lies, ..case(M::KeysNotParsed, &["keys can be sealed to"]) },
    case(M::AnsweredBeforeCommit, &["acknowledged writes are durable", "linearizability"]),
    case(M::UnknownToldAsNoLeader, &["denied writes change nothing", "linearizability"]),
    case(M::AnsweredTwice, &["one answer each"]),
    case(M::NewcomerAnsweredTooSoon, &["newcomers are told by who knows them"]),
    case(M::SnapshotNamedWhenTaken, &["a sound disk makes a member", "state-machine safety"]),
    case(M::TenureKeysKept, &["bounded memory"]),
    case(M::ExpiryByWallClock, &["elapsed time is real"]),
    case(M::DigestOfAnotherIndex, &["only who diverged stops"]),
    case(M::OneDigestIsMajority, &["only who diverged stops"]),
    case(M::DivergedGoesOn, &["who diverged stops"]),
    case(M::PublishedWithoutHolders, &["models are reachable"]),
    case(M::UpdateCountedTwice, &["no update counts twice"]),
    Case { members: Some(4), ..case(M::StaleEnvelopeFolded, &["no update counts twice"]) },
    case(M::RefusedUpdateCounted, &["no lie counts"]),
    case(M::WeightsUnchecked, &["no lie counts"]),
    case(M::UpdateDroppedAtAcceptance, &["no update is lost"]),
    case(M::EnvelopesKept, &["bounded memory"]),
    case(M::DeadlineFedByWaits, &["deadlines learn from arrivals"]),
    Case { members: Some(1), ..case(M::RestOutlastsItsCause, &["rests end when their cause has gone"]) },
    case(M::SilentWaitedFor, &["silent ones are not waited for"]),
    Case { may_lead_to_it: moves, ..case(M::RemoteAddressLookedAtOnce, &["moves are followed"]) },
    Case { may_lead_to_it: moves, ..case(M::LoopbackCommitted, &["no loopback address is committed"]) },
    Case { may_lead_to_it: has_names, ..case(M::NamesResolvedOnce, &["liveness"]) },
    case(M::TransferUnbounded, &["transfers end"]),
    Case { may_lead_to_it: moves, ..case(M::RefusedJoinsCounted, &["strangers keep nobody out"]) },
];

/// How a case ended.
struct Caught {
    case: &'static Case,
    /// The seeds that were tried; the last one found it, if any did.
    seeds: Vec<u64>,
    seconds: f64,
    /// The name of the property and all that was said.
    by: Option<(String, String)>,
}

fn catch(case: &'static Case) -> Caught {
    let begun = Instant::now();
    let plans = (0..).map(|seed| (seed, case.plan(seed)));
    let leading = plans.filter(|(_, plan)| (case.may_lead_to_it)(plan)).take(MAX_SEEDS);
    plant(Some(case.mutation));
    let mut seeds = Vec::new();
    let failed = leading.inspect(|(seed, _)| seeds.push(*seed)).find_map(|(_, plan)| run(&plan).err());
    plant(None);
    let seconds = begun.elapsed().as_secs_f64();
    let by = failed.map(|failure| (failure.kind().to_string(), failure.what));
    Caught { case, seeds, seconds, by }
}

/// Does something with each item, in several threads.
fn side_by_side<T: Sync>(items: &[T], act: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    act(item);
                }
            });
        }
    });
}

fn wanted() -> Vec<&'static Case> {
    let only = std::env::var("RAFTY_MUTATION").unwrap_or_default();
    CASES.iter().filter(|case| format!("{:?}", case.mutation).contains(&only)).collect()
}

/// Tried in worlds of their own.
const RECOVERED: (Mutation, &[&str]) = (M::EpochLeftOut, &["nothing of another epoch counts"]);
const OVER_SLOW_LINKS: (Mutation, &[&str]) =
    (M::SlowLinksUnheeded, &["liveness", "leaders stay over slow links"]);

#[test]
fn the_table_of_deliberate_bugs_says_what_is_tried() {
    let told = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../CONTRIBUTING.md"));
    let told = told.expect("the table");
    let rows: BTreeSet<_> = told.lines().filter(|line| line.starts_with("| `")).collect();
    let cases = CASES.iter().map(|case| (case.mutation, case.caught_by));
    let tried: Vec<_> = cases.chain([RECOVERED, OVER_SLOW_LINKS]).collect();
    for (mutation, caught_by) in &tried {
        let (begin, end) = (format!("| `{mutation:?}` | "), format!(" | {} |", caught_by.join(", or ")));
        let is_told = rows.iter().any(|row| row.starts_with(&begin) && row.ends_with(&end));
        assert!(is_told, "CONTRIBUTING.md has no row that begins with `{begin}` and ends with `{end}`");
    }
    assert_eq!(rows.len(), tried.len(), "rows of bugs that are not tried");
}

#[test]
fn an_epoch_left_out_is_caught_after_a_recovery() {
    let (mutation, expected) = RECOVERED;
    plant(Some(mutation));
    let failed = (0..MAX_SEEDS as u64).find_map(|seed| Some((seed, recover(seed).err()?)));
    plant(None);
    let (seed, failure) = failed.expect("the bug is caught");
    assert!(expected.contains(&failure.kind()), "{}", failure.what);
    assert!(recover(seed).is_ok(), "without the bug");
}

#[test]
fn heartbeats_at_their_full_pace_are_caught_over_slow_links() {
    let (mutation, expected) = OVER_SLOW_LINKS;
    plant(Some(mutation));
    let failed = (0..MAX_SEEDS as u64).find_map(|seed| Some((seed, over_slow_links(seed).err()?)));
    plant(None);
    let (seed, failure) = failed.expect("the bug is caught");
    assert!(expected.contains(&failure.kind()), "{}", failure.what);
    assert!(over_slow_links(seed).is_ok(), "without the bug");
}

/// The seeds that the cases took, without a bug: whatever was found before is the bug's doing.
fn all_is_well_without(caught: &[Caught]) {
    let mut told = BTreeSet::new();
    for one in caught {
        told.extend(one.seeds.iter().map(|seed| (one.case.members, one.case.twins, *seed)));
    }
    let failed = Mutex::new(Vec::new());
    side_by_side(&told.into_iter().collect::<Vec<_>>(), |(members, twins, seed)| {
        let plan = Plan::draw(*seed, *members);
        if let Err(failure) = run(&if *twins { plan.with_twins() } else { plan }) {
            failed.lock().expect("no thread panics").push(format!("seed {seed}: {}", failure.what));
        }
    });
    let failed = failed.into_inner().expect("no thread panics");
    assert!(failed.is_empty(), "without a bug:\n{}", failed.join("\n"));
}

#[test]
fn every_planted_bug_is_caught_by_the_property_that_ought_to() {
    let caught = Mutex::new(Vec::new());
    side_by_side(&wanted(), |case| {
        let one = catch(case);
        let by = one.by.as_ref().map_or("nothing", |(kind, _)| kind);
        println!(
            "{:<28} {:>3} seeds {:>6.1} s  {by}",
            format!("{:?}", case.mutation),
            one.seeds.len(),
            one.seconds
        );
        caught.lock().expect("no thread panics").push(one);
    });
    let caught = caught.into_inner().expect("no thread panics");
    let wrong = caught
        .iter()
        .filter(|one| one.by.as_ref().is_none_or(|(kind, _)| !one.case.caught_by.contains(&kind.as_str())));
    let line = |one: &Caught| {
        let (by, expected) = (one.by.as_ref().map(|(_, what)| what), one.case.caught_by);
        format!("{:?} was to be caught by {expected:?} and was by {by:?}", one.case.mutation)
    };
    let wrong: Vec<_> = wrong.map(line).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    all_is_well_without(&caught);
}
