//! The replicated state: as a snapshot that came over the network or from the disk, and as a log.
//!
//! What members sign in a log is signed here with their keys, so that the fuzzer gets behind the signatures.

use crate::bounded;
use crate::world::{CLUSTER, founded, identity, issued};
use rafty_dictionary::{Entries, EntryCommand, EntryResult, FEATURE_LEVEL, Outcome, Replicated};
use rafty_types::{
    Command, ControlCommand, ControlResult, Enrolment, Entry, MemberId, Payload, Proposal, Term,
};

/// Small records in maps: a node and its record for a few bytes each, and the user machine's beside.
const FACTOR: usize = 200;

/// The length of the snapshot in two bytes, the snapshot, and a log that goes on from it.
pub fn snapshot(bytes: &[u8]) {
    let [high, low, rest @ ..] = bytes else { return };
    let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (snapshot, log) = rest.split_at(len);
    let mut state = founded();
    let before = state.digest();
    if bounded(snapshot.len(), FACTOR, || state.restore(snapshot)).is_err() {
        assert_eq!(state.digest(), before, "a refused snapshot changes nothing");
        return;
    }
    assert_eq!(state.broken_invariant(), None);
    is_whole(&state);
    if state.applied().0 < u64::MAX - bytes.len() as u64 {
        apply_all(&mut state, log);
    }
}

/// A log on top of a founded peer set.
pub fn log(bytes: &[u8]) {
    let mut state = founded();
    apply_all(&mut state, bytes);
    is_whole(&state);
}

/// Written and read, a state is the same.
fn is_whole(state: &Replicated<Entries>) {
    let bytes = state.snapshot();
    let mut again = Replicated::new(Entries::default());
    again.restore(&bytes).expect("a snapshot of a sound state is taken");
    assert_eq!(again.snapshot(), bytes);
    assert_eq!((again.control(), again.user()), (state.control(), state.user()));
}

/// Each entry has a byte that says what is put right, then a proposal. What is none is applied as it is.
fn apply_all(state: &mut Replicated<Entries>, mut bytes: &[u8]) {
    let mut term = Term(state.control().tenure().map_or(1, |tenure| tenure.term.0.min(1 << 60)));
    while let Some((how, rest)) = bytes.split_first() {
        if how & 8 > 0 {
            term = term.next();
        }
        let (command, after) = match take_proposal(rest) {
            Ok((mut proposal, after)) => {
                put_right(state, &mut proposal, term, *how);
                assert_eq!(Proposal::decode(&proposal.encode(), FEATURE_LEVEL).as_ref(), Some(&proposal));
                (proposal.encode(), after)
            }
            Err(_) => (rest.to_vec(), &[][..]),
        };
        bytes = after;
        apply(
            state,
            Entry { index: state.applied().next(), term, payload: Payload::Command(command.into()) },
        );
    }
}

/// Reads a proposal behind its level.
fn take_proposal(bytes: &[u8]) -> postcard::Result<(Proposal, &[u8])> {
    let (_, bytes) = postcard::take_from_bytes::<u32>(bytes)?;
    postcard::take_from_bytes(bytes)
}

fn apply(state: &mut Replicated<Entries>, entry: Entry) {
    let before = state.clone();
    let applied = state.apply(&entry);
    // Determinism: a second member answers alike.
    assert_eq!(before.clone().apply(&entry), applied);
    assert_eq!(state.broken_invariant(), None);
    match &applied.outcome {
        Some(Outcome::Control(ControlResult::Rejected(_), _)) | None => {
            assert_eq!(state.control(), before.control(), "a refused command changes nothing");
            assert_eq!(state.user(), before.user(), "a refused command changes nothing");
        }
        Some(Outcome::User(answer, _)) => assert!(EntryResult::decode(answer).is_some()),
        Some(Outcome::Control(ControlResult::Done, _)) => {}
    }
    let held: usize = state.user().iter().map(|(key, value)| key.len() + value.len()).sum();
    assert_eq!(state.user().byte_len(), held);
}

/// Makes more of what is drawn make sense: the term, the issuer, the tenure, and the signatures.
fn put_right(state: &Replicated<Entries>, proposal: &mut Proposal, term: Term, how: u8) {
    let control = state.control();
    if how & 1 > 0 {
        proposal.term = term;
    }
    if how & 2 > 0 {
        proposal.origin = *control.members().keys().next().unwrap_or(&MemberId(1));
    }
    let by = proposal.origin;
    if how & 4 > 0
        && let Command::Control(command) = &mut proposal.command
    {
        sign(state, command, by);
        current(state, command);
        proposal.issue = issued(state, by, &proposal.command);
    }
}

fn sign(state: &Replicated<Entries>, command: &mut ControlCommand, by: MemberId) {
    let known = |id: MemberId| state.control().member(id).map(|member| member.id);
    match command {
        ControlCommand::TenureBegan { member, .. } => *member = by,
        ControlCommand::RotateKey { member, .. }
        | ControlCommand::AddressChanged { member, .. }
        | ControlCommand::Supports { member, .. } => {
            *member = known(*member).unwrap_or(by);
        }
        ControlCommand::TokenCreated(token) => token.public_key = identity(MemberId(0)).key(),
        ControlCommand::Enrol(enrolment) => sign_enrolment(state, enrolment),
        _ => {}
    }
}

/// A newcomer's key is that of the id it will have, so that it can sign later.
fn sign_enrolment(state: &Replicated<Entries>, enrolment: &mut Enrolment) {
    let newcomer = identity(MemberId(state.applied().next().0));
    enrolment.statement.set = rafty_types::SetId::first(CLUSTER);
    enrolment.statement.key = newcomer.key();
    if let Some(token) = state.control().tokens().keys().next() {
        enrolment.token = *token;
    }
    let bytes = enrolment.statement.to_bytes();
    enrolment.own_signature = newcomer.sign(&bytes);
    enrolment.token_signature = identity(MemberId(0)).sign(&bytes);
}

/// Names the tenure, the run and the round of now.
fn current(state: &Replicated<Entries>, command: &mut ControlCommand) {
    let control = state.control();
    let (Some(now), Some(active)) = (control.tenure(), control.active_run()) else { return };
    match command {
        ControlCommand::RoundOpened { tenure, run, round, base, .. } => {
            (*tenure, *run, *round, *base) = (now.tenure, active.id, active.round.next(), active.version);
        }
        ControlCommand::UpdateAccepted { tenure, run, round, attempt, .. }
        | ControlCommand::RoundFailed { tenure, run, round, attempt, .. } => {
            let Some(open) = &active.open else { return };
            (*tenure, *run, *round, *attempt) = (now.tenure, active.id, open.round, open.attempt);
        }
        ControlCommand::RoundPublished(publication) => {
            let Some(open) = &active.open else { return };
            publication.tenure = now.tenure;
            publication.run = active.id;
            (publication.round, publication.attempt) = (open.round, open.attempt);
            publication.version = open.base.next();
            publication.counted = open.accepted.iter().map(|(who, update)| (*who, update.digest)).collect();
        }
        _ => {}
    }
}

/// A user command, for seeds.
pub(crate) fn set(key: &[u8], value: &[u8]) -> Command {
    Command::User(EntryCommand::Set { key: key.to_vec(), value: value.to_vec() }.encode())
}

/// The snapshot of a founded peer set after these steps.
pub(crate) fn after(steps: &[u8]) -> Vec<u8> {
    let mut state = founded();
    apply_all(&mut state, steps);
    state.snapshot()
}
