//! Random faults and random wishes, many seeds.

use crate::harness::{Faults, Net, id, ms};
use rafty_consensus::Input;
use rafty_types::MemberId;
use std::collections::BTreeSet;

/// Seeds in a usual run.
const SEEDS: u64 = 200;
/// Faulty steps of a seed, each some virtual milliseconds.
const STEPS: u64 = 150;
/// Ids up to which newcomers are made.
const MAX_ID: u64 = 9;

/// Prints how to run a failing seed again.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay: RAFTY_SEED={} cargo test -p rafty-consensus --test cluster seeds", self.0);
        }
    }
}

/// What the peer set shall look like.
struct Wishes {
    voters: BTreeSet<MemberId>,
    learners: BTreeSet<MemberId>,
    next_id: u64,
}

impl Wishes {
    fn change(&mut self, net: &mut Net) {
        let learners: Vec<_> = self.learners.iter().copied().collect();
        let voters: Vec<_> = self.voters.iter().copied().collect();
        match net.rng.below(3) {
            0 if self.next_id <= MAX_ID => {
                net.newcomer(id(self.next_id));
                self.learners.insert(id(self.next_id));
                self.next_id += 1;
            }
            1 if !learners.is_empty() => {
                let member = net.rng.pick(&learners).unwrap();
                self.learners.remove(&member);
                self.voters.insert(member);
            }
            2 if voters.len() > 1 => {
                let member = net.rng.pick(&voters).unwrap();
                self.voters.remove(&member);
                if net.rng.percent(50) {
                    self.learners.insert(member);
                }
            }
            _ => {}
        }
    }
}

/// What a seed showed, in words if they are wanted, and how much it committed.
fn run(seed: u64, in_words: bool) -> (Option<u64>, usize) {
    let _replay = Replay(seed);
    let founders = [1, 2, 3, 5][(seed % 4) as usize];
    let mut net = Net::new(seed, founders);
    net.transcript = in_words.then_some(0);
    let voters = (1..=founders).map(id).collect();
    let mut wishes = Wishes { voters, learners: BTreeSet::new(), next_id: founders + 1 };
    net.faults = Faults {
        drop_percent: net.rng.below(20),
        duplicate_percent: net.rng.below(20),
        max_delay_ms: 1 + net.rng.below(60),
        max_sync_ms: 1 + net.rng.below(120),
        snapshot_ms: net.rng.below(200),
    };
    for step in 0..STEPS {
        disturb(&mut net, &mut wishes, step);
        let pause = ms(1 + net.rng.below(60));
        net.run_for(pause);
    }
    recover(&mut net, &wishes);
    (net.transcript, net.oracle.committed.len())
}

fn disturb(net: &mut Net, wishes: &mut Wishes, step: u64) {
    let all: Vec<_> = net.members.keys().copied().collect();
    let someone = net.rng.pick(&all).unwrap();
    let leader = net.leader();
    match net.rng.below(100) {
        0..40 => {
            let burst = 1 + net.rng.below(12);
            (0..burst).for_each(|n| net.propose(leader.unwrap_or(someone), 100 * step + n));
        }
        40..58 => net.read(someone, 1_000_000 + step),
        58..63 => net.crash(someone),
        63..75 => net.restart(someone),
        75..79 => {
            let other = net.rng.pick(&all).unwrap();
            net.cut.insert((someone.min(other), someone.max(other)));
        }
        79..83 => net.cut.clear(),
        83..86 => net.input(leader.unwrap_or(someone), Input::Transfer { to: someone }),
        86..88 => net.input(leader.unwrap_or(someone), Input::StepDown),
        88..90 => net.input(someone, Input::Unreachable(leader.unwrap_or(someone))),
        90..93 => wishes.change(net),
        _ => net.reconcile(&wishes.voters, &wishes.learners),
    }
}

/// Once the faults end, the peer set becomes what it shall be and everything is agreed on.
fn recover(net: &mut Net, wishes: &Wishes) {
    net.heal();
    for _ in 0..60 {
        net.run_for(ms(100));
        net.reconcile(&wishes.voters, &wishes.learners);
    }
    let leader = net.elect();
    net.propose(leader, u64::MAX);
    net.run_until("everybody agrees", ms(5_000), Net::agrees);
    let membership = net.machine(net.leader().unwrap()).membership();
    assert_eq!(membership.voters, wishes.voters.iter().copied().collect::<Vec<_>>());
    assert_eq!(membership.learners, wishes.learners.iter().copied().collect::<Vec<_>>());
}

#[test]
fn seeds_keep_every_invariant_and_recover() {
    let chosen = std::env::var("RAFTY_SEED").ok().and_then(|seed| seed.parse().ok());
    let count = std::env::var("RAFTY_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(SEEDS);
    let seeds = chosen.map_or(0..count, |seed: u64| seed..seed + 1);
    let committed: usize = seeds.clone().map(|seed| run(seed, false).1).sum();
    assert!(committed as u64 > 20 * (seeds.end - seeds.start), "the seeds do next to nothing: {committed}");
}

#[test]
fn one_seed_twice_is_the_same_twice() {
    for seed in [3, 1_000_003] {
        assert_eq!(run(seed, true), run(seed, true));
    }
}
