//! What always holds for the control part, each as a named function.
//!
//! They are asserted after every command in debug builds, by the simulator, and on every snapshot before it is taken
//! over, so that no bytes from elsewhere can bring about a state that no log leads to.

use crate::Control;
use crate::clients::MAX_CLIENTS;
use crate::roster::{MAX_TOKENS, check_addresses, is_as_long_as_a_key};
use crate::round::{MAX_FAILURES, OpenRound};
use crate::runs::{KEPT_ROUNDS, KEPT_VERSIONS, RunState, RunStatus};
use crate::tenures::KEPT_TENURES;
use rafty_types::{Index, MAX_NAME_LEN, MAX_TASK_LEN, MemberId, PeerKey, Version, is_weight};
use std::collections::BTreeSet;

type Invariant = (&'static str, fn(&Control) -> bool);

const INVARIANTS: [Invariant; 15] = [
    ("someone votes", someone_votes),
    ("an odd number votes", an_odd_number_votes),
    ("identities are unique", identities_are_unique),
    ("records stand under their own ids", records_stand_under_their_ids),
    ("only members' starts are recorded", only_members_starts_are_recorded),
    ("only members' levels are remembered", only_members_levels_are_remembered),
    ("only members' times are counted", only_members_times_are_counted),
    ("only voters' digests are recorded", only_voters_digests_are_recorded),
    ("only the newest run is active", only_the_newest_run_is_active),
    ("the open round is the next one of the current tenure", the_open_round_is_next),
    ("accepted updates are of members", accepted_updates_are_of_members),
    ("arrivals are of members", arrivals_are_of_members),
    ("the current model is kept", the_current_model_is_kept),
    ("the current tenure is the last remembered", the_current_tenure_is_the_last),
    ("bounds hold", bounds_hold),
];

/// The first invariant that does not hold for `control` after the entry `applied`.
pub(crate) fn broken(control: &Control, applied: Index) -> Option<&'static str> {
    if !control.initialised() {
        return (*control != Control::default()).then_some("nothing is known before the first member");
    }
    if !nothing_lies_ahead(control, applied) {
        return Some("nothing lies ahead of the applied index");
    }
    INVARIANTS.iter().find(|(_, holds)| !holds(control)).map(|(name, _)| *name)
}

/// Ids are indexes of applied entries: otherwise a later entry could hit upon one that exists.
fn nothing_lies_ahead(control: &Control, applied: Index) -> bool {
    let members = control.members().keys().map(|id| id.0);
    let runs = control.runs().keys().map(|id| id.0);
    let tenures = control.tenure_history().iter().map(|past| past.tenure.0);
    let marks = control.divergence.marks().map(|index| index.0);
    members.chain(runs).chain(tenures).chain(marks).all(|index| (1..=applied.0).contains(&index))
}

fn someone_votes(control: &Control) -> bool {
    control.members().values().any(|member| member.seat)
}

/// But in a state of format 4 until its seats are put right.
fn an_odd_number_votes(control: &Control) -> bool {
    control.roster.seats() % 2 == 1 || !control.odd_seats
}

fn identities_are_unique(control: &Control) -> bool {
    let keys: BTreeSet<PeerKey> = control.members().values().map(|member| member.key).collect();
    let clients: BTreeSet<_> = control.clients().values().map(|client| client.record.id).collect();
    keys.len() == control.members().len() && clients.len() == control.clients().len()
}

fn records_stand_under_their_ids(control: &Control) -> bool {
    control.members().iter().all(|(id, member)| member.id == *id)
        && control.tokens().iter().all(|(id, token)| token.record.id == *id && token.record.uses > 0)
        && control.runs().iter().all(|(id, run)| run.id == *id)
        && control.clients().iter().all(|(name, client)| client.record.name == *name)
}

fn only_members_starts_are_recorded(control: &Control) -> bool {
    control
        .incarnations
        .members()
        .all(|(id, recorded)| recorded.member == *id && control.members().contains_key(id))
}

fn only_members_levels_are_remembered(control: &Control) -> bool {
    control.supported_levels.members().all(|id| control.members().contains_key(&id))
}

fn only_members_times_are_counted(control: &Control) -> bool {
    control.reachable.members().all(|id| control.members().contains_key(id))
}

fn only_voters_digests_are_recorded(control: &Control) -> bool {
    control.divergence.is_sound(|id| control.members().contains_key(&id))
}

fn only_the_newest_run_is_active(control: &Control) -> bool {
    let older = control.runs().values().rev().skip(1);
    older.into_iter().all(|run| run.status != RunStatus::Active)
        && control.runs().values().all(|run| run.open.is_none() || run.status == RunStatus::Active)
        && control
            .runs()
            .values()
            .all(|run| (run.status == RunStatus::Finished) == (run.round.0 >= u64::from(run.spec.rounds)))
}

fn the_open_round_is_next(control: &Control) -> bool {
    let is_next = |(run, open): (&RunState, &OpenRound)| {
        open.round == run.round.next()
            && open.base == run.version
            && control.tenure().is_some_and(|tenure| tenure.tenure == open.tenure)
    };
    open_round(control).is_none_or(is_next)
}

fn accepted_updates_are_of_members(control: &Control) -> bool {
    let is_member = |id: &MemberId| control.members().contains_key(id);
    open_round(control).is_none_or(|(_, open)| {
        open.accepted.keys().all(is_member)
            && open.accepted.values().all(|update| is_weight(update.num_examples))
    })
}

fn arrivals_are_of_members(control: &Control) -> bool {
    let is_member = |id| control.members().contains_key(&id);
    control.runs().values().all(|run| run.arrivals.are_bounded(is_member))
}

fn the_current_model_is_kept(control: &Control) -> bool {
    control.runs().values().all(|run| {
        let newest = run.versions.last_key_value();
        match run.model {
            None => run.version == Version(0) && newest.is_none(),
            Some(model) => run.version > Version(0) && newest == Some((&run.version, &model)),
        }
    })
}

fn the_current_tenure_is_the_last(control: &Control) -> bool {
    match (control.tenure(), control.tenure_history().back()) {
        (None, None) => true,
        (Some(current), Some(last)) => current.tenure == last.tenure && current.key_id == last.key_id,
        _ => false,
    }
}

fn bounds_hold(control: &Control) -> bool {
    let member_fits = |member: &rafty_types::Member| {
        check_addresses(&member.addresses).is_ok() && is_as_long_as_a_key(&member.rsa_public)
    };
    let run_fits = |run: &RunState| {
        run.spec.name.len() <= MAX_NAME_LEN
            && run.spec.task.len() <= MAX_TASK_LEN
            && run.versions.len() <= KEPT_VERSIONS
            && run.history.len() <= KEPT_ROUNDS
            && run.open.as_ref().is_none_or(|open| open.failures.len() <= MAX_FAILURES)
    };
    control.settings().validate().is_ok()
        && control.name().len() <= MAX_NAME_LEN
        && control.members().len() <= control.settings().max_members as usize
        && control.members().values().all(member_fits)
        && control.tokens().len() <= MAX_TOKENS
        && control.clients().len() <= MAX_CLIENTS
        && control.clients().keys().all(|name| (1..=MAX_NAME_LEN).contains(&name.len()))
        && control.roster.memory_is_bounded()
        && control.tenure_history().len() <= KEPT_TENURES
        && control.runs.are_bounded()
        && control.runs().values().all(run_fits)
}

fn open_round(control: &Control) -> Option<(&RunState, &OpenRound)> {
    control.active_run().and_then(|run| run.open.as_ref().map(|open| (run, open)))
}
