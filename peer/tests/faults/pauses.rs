//! SIGSTOP: a leader sleeps through its own deposition, and wakes up believing that it leads.

use crate::depth::{choices, faults};
use crate::scene::Scene;
use crate::support::until;
use rafty_client::Consistency;
use rafty_types::MemberId;
use std::process::Command;
use std::time::Duration;

const FEW: usize = 3;
/// Reads that wait at the sleeping leader, in the queues of the system.
const READERS: usize = 4;
/// How long each of them waits: longer than the sleep.
const PATIENCE: Duration = Duration::from_secs(20);
const KEY: &str = "while-it-slept";

#[test]
fn a_leader_that_slept_serves_nothing_old_and_follows() {
    let mut scene = Scene::start();
    let mut choices = choices();
    for cycle in 0..faults(FEW) as u64 {
        // Anywhere in a round and in a tenure.
        std::thread::sleep(Duration::from_millis(choices.u64(..300)));
        sleep_and_wake(&mut scene, cycle);
    }
    scene.end(&format!("{} leaders slept longer than an election", faults(FEW)));
}

fn sleep_and_wake(scene: &mut Scene, cycle: u64) {
    let asleep = scene.set.await_leader();
    let old = scene.set.members[asleep].id().expect("it runs");
    scene.set.members[asleep].set(KEY, cycle).expect("an acknowledgement");
    signal(scene, asleep, "-STOP");
    let reads: Vec<_> = (0..READERS)
        .map(|_| {
            let client = scene.load.way().to(asleep, PATIENCE);
            std::thread::spawn(move || client.get_value(KEY, Consistency::Linearizable))
        })
        .collect();
    let awake = until("a new leader", || new_leader(scene, asleep, old));
    scene.set.members[awake].set(KEY, cycle + 1).expect("an acknowledgement");
    scene.goes_on();
    signal(scene, asleep, "-CONT");
    for read in reads {
        // Not being able to tell is right, too; telling the old value is not.
        if let Ok(value) = read.join().expect("a reader") {
            let value = value.map(|value| value.decode::<u64>().expect("a number"));
            assert_eq!(value, Some(cycle + 1), "a leader that had slept served what was overwritten");
        }
    }
    scene.catches_up(asleep);
    until("one leader for all", || {
        let leader = |at: usize| scene.set.members[at].status()?.node.leader;
        leader(asleep).filter(|leader| Some(*leader) == self::leader_of_others(scene, asleep))
    });
}

/// Who leads those that are awake; asking the sleeping one would not be answered.
fn leader_of_others(scene: &Scene, asleep: usize) -> Option<MemberId> {
    let others = scene.set.members.iter().enumerate().filter(|(at, _)| *at != asleep);
    let leaders: Vec<MemberId> =
        others.map(|(_, member)| member.status()?.node.leader).collect::<Option<_>>()?;
    leaders.iter().all(|leader| *leader == leaders[0]).then_some(leaders[0])
}

fn new_leader(scene: &Scene, asleep: usize, old: MemberId) -> Option<usize> {
    let leader = leader_of_others(scene, asleep).filter(|leader| *leader != old)?;
    (0..scene.set.members.len()).find(|at| *at != asleep && scene.set.members[*at].id() == Some(leader))
}

fn signal(scene: &Scene, at: usize, signal: &str) {
    let pid = scene.set.members[at].pid().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
}
