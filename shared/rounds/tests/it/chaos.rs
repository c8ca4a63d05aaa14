//! Everything at once, from a seed: loss, repetition, delay, crashes, new tenures, failing disks. Then the faults stop.

use crate::shell::{Data, Envelope};
use crate::world::{FAIR, FaultRates, World, id};
use rafty_rounds::{Input, ProposalId, WorkId, WorkResult};
use rafty_types::{
    Attempt, ClusterId, Digest, EnvelopeKind, Frame, Label, MemberId, Progress, Refusal, Rejection, Rest,
    RestCause, Round, RunId, Tenure, Verdict, Version,
};

/// Answers to members that ask for a model are kept for a while, in case they ask again.
const ANSWERS_FORGOTTEN_MS: u64 = 400_000;
const STORM: FaultRates =
    FaultRates { latency: (1, 400), work: (1, 1_500), lose: 15, repeat: 15, lose_proposal: 20, fail_work: 5 };
const ROUNDS: u32 = 10;

fn storm(seed: u64) {
    let mut world = World::new(seed, &[Data::Examples(10); 5]);
    let (poisoned, empty) = (id(world.draw(1, 5)), id(world.draw(1, 5)));
    world.members.get_mut(&empty).unwrap().shell.data = Data::None;
    world.members.get_mut(&poisoned).unwrap().shell.data = Data::Poisoned;
    world.rates = STORM;
    world.submit(ROUNDS);
    for _ in 0..40 {
        let member = id(world.draw(1, 5));
        let running = world.running();
        match world.draw(0, 4) {
            0 if running.len() > 3 && running.contains(&member) => world.kill(member),
            1 if !running.contains(&member) => world.start(member),
            2 | 3 if running.contains(&member) => world.begin_tenure(member),
            _ => {}
        }
        let pause = world.draw(10, 6_000);
        world.run_for(pause);
    }
    eprintln!(
        "seed {seed}: {} published, {:?}",
        world.published(),
        world.truth.run.as_ref().map(|r| r.failures.len())
    );
    world.rates = FAIR;
    for member in 1..=5 {
        if !world.running().contains(&id(member)) {
            world.start(id(member));
        }
    }
    let last = id(world.draw(1, 5));
    world.begin_tenure(last);
    world.run_until(4_000_000, |world| world.published() == ROUNDS as usize);
    world.run_for(ANSWERS_FORGOTTEN_MS);
    all_is_tidy(&world);
}

fn all_is_tidy(world: &World) {
    let run = world.truth.run.as_ref().unwrap();
    for (version, publication) in (1..).zip(&run.published) {
        assert_eq!((publication.round.0, publication.version.0), (version, version), "each round once");
    }
    for (id, member) in &world.members {
        assert!(member.shell.spool.is_empty(), "member {id} leaks {:?}", member.shell.spool);
        assert!(member.shell.accumulators.is_empty(), "member {id} leaks an accumulator");
        assert_eq!(member.shell.disk.pending, None, "member {id} keeps an update");
        assert_eq!(member.shell.disk.current, run.model, "member {id} is not up to date");
        assert!(member.shell.disk.models.len() <= 24, "member {id} keeps too many models");
    }
}

#[test]
fn every_round_is_published_once_whatever_happened_before() {
    let seeds: Vec<u64> = match std::env::var("RAFTY_SEED") {
        Ok(seed) => vec![seed.parse().expect("RAFTY_SEED is a number")],
        Err(_) => (0..150).collect(),
    };
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| storm(seed));
        if let Err(panic) = outcome {
            eprintln!("replay: RAFTY_SEED={seed} cargo test -p rafty-rounds every_round_is_published");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Nonsense that one who is a member may send, with numbers that are often right.
fn nonsense(world: &mut World, from: MemberId) -> Input {
    let (tenure, run) = (Tenure(world.draw(0, 6)), RunId(world.draw(1, 3)));
    let (round, attempt) = (Round(world.draw(0, 3)), Attempt(world.draw(0, 3)));
    let (version, model) = (Version(world.draw(0, 3)), Digest([world.draw(0, 3) as u8; 32]));
    let current = world.truth.run.as_ref().and_then(|run| run.model);
    let model = if world.chance(50) { current.unwrap_or(model) } else { model };
    let rest = Rest { cause: RestCause::Data, reason: "\u{1b}[2J".repeat(1_000), for_ms: u64::MAX };
    let progress =
        [Progress::NoData, Progress::Resting(rest), Progress::Sending, Progress::Training(u64::MAX)];
    let frame = match world.draw(0, 8) {
        0 => Frame::Announce { run, version, model },
        1 => Frame::FetchModel { run, version, model },
        2 => Frame::Holds { model },
        3 => Frame::Progress { run, round, progress: progress[world.draw(0, 3) as usize].clone() },
        4 => {
            let verdict = Verdict::Refused(Refusal::OverNorm);
            Frame::Verdict { tenure, run, round, attempt, digest: model, verdict }
        }
        5 => return Input::WorkDone { order: WorkId(u64::MAX), result: WorkResult::Done },
        6 => return Input::ProposalLost { id: ProposalId(world.draw(0, 30)) },
        7 => {
            return Input::ProposalRejected { id: ProposalId(world.draw(100, 300)), why: Rejection::Deposed };
        }
        _ => return Input::TenureEnding,
    };
    Input::Frame { from, frame }
}

fn planted(world: &mut World, sender: MemberId) -> Envelope {
    let kinds = [EnvelopeKind::Update, EnvelopeKind::Publication, EnvelopeKind::Model];
    let label = Label {
        set: rafty_types::SetId::first(ClusterId([9; 16])),
        tenure: Tenure(world.draw(0, 6)),
        run: RunId(world.draw(1, 3)),
        round: Round(world.draw(0, 3)),
        attempt: Attempt(world.draw(0, 3)),
        version: Version(world.draw(0, 3)),
        kind: kinds[world.draw(0, 2) as usize],
        content: Digest([world.draw(0, 3) as u8; 32]),
        segment: 0,
        segments: 1,
        sender,
    };
    Envelope { label, recipients: (1..=4).map(id).collect() }
}

/// Member 4 says what it likes. It may spoil its own part and slow things down, but nothing piles up, nothing
/// panics, and once it is silent the rounds go on.
#[test]
fn one_who_talks_nonsense_stops_nobody() {
    for seed in 0..20 {
        let mut world = World::new(seed, &[Data::Examples(10); 4]);
        world.training_ms = (1..=4).map(|member| (id(member), 800)).collect();
        world.begin_tenure(id(1));
        world.submit(3);
        for _ in 0..2_000 {
            let victim = id(world.draw(1, 3));
            let input = nonsense(&mut world, id(4));
            if !matches!(input, Input::TenureEnding) {
                world.say(victim, input);
            }
            let envelope = planted(&mut world, id(4));
            world.deliver(id(4), victim, envelope);
            world.run_for(1);
            assert!(world.members.values().all(|member| member.shell.spool.len() <= 16), "envelopes pile up");
        }
        world.begin_tenure(id(2));
        world.run_until(2_000_000, |world| world.published() == 3);
        world.run_for(ANSWERS_FORGOTTEN_MS);
        assert!(world.members.values().all(|member| member.shell.spool.is_empty()));
    }
}
