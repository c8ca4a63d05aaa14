//! A laptop's peer set for as many tenures as 24 days of the default settings have: nothing grows.

mod support;

use std::path::Path;
use std::time::Instant;
use support::peer_set::{Folder, Member};
use support::{ok, rafty, until};

/// 24 days of ten minutes each.
const TENURES: u64 = 24 * 24 * 6;
/// Something happens after so many tenures: a restart, or a member that comes or goes.
const BETWEEN_CHURN: u64 = 12;
/// The first share of the tenures in which memory may still rise, in per cent.
const WARM_UP: u64 = 20;

/// What one process holds.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    memory_kb: u64,
    descriptors: usize,
    files: usize,
    disk_bytes: u64,
    /// The state as the last snapshot has it.
    state_bytes: u64,
}

fn held(member: &Member) -> Held {
    let status = std::fs::read_to_string(format!("/proc/{}/status", member.pid())).expect("it runs");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    let memory_kb = resident.trim().trim_end_matches("kB").trim().parse().expect("a number");
    let dir = Path::new(&member.dir);
    let (all, disk_bytes) = files(dir, "");
    let (_, state_bytes) = files(dir, "snapshot-");
    Held { memory_kb, descriptors: member.descriptors(), files: all, disk_bytes, state_bytes }
}

/// How many files a folder has whose names begin so, and their bytes. What goes while it is looked at does not count.
fn files(folder: &Path, begin: &str) -> (usize, u64) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let each = entries.filter_map(|entry| {
        let kind = entry.metadata().ok()?;
        let named = entry.file_name().to_string_lossy().starts_with(begin);
        Some(if kind.is_dir() { files(&entry.path(), begin) } else { (1, kind.len()) })
            .filter(|_| named || kind.is_dir())
    });
    each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

fn largest(samples: &[Held]) -> Held {
    samples.iter().fold(Held::default(), |most, one| Held {
        memory_kb: most.memory_kb.max(one.memory_kb),
        descriptors: most.descriptors.max(one.descriptors),
        files: most.files.max(one.files),
        disk_bytes: most.disk_bytes.max(one.disk_bytes),
        state_bytes: most.state_bytes.max(one.state_bytes),
    })
}

/// The founder runs all the time and is looked at. The second is restarted, a fourth comes and goes.
#[test]
#[ignore = "takes as many seconds as there are tenures: an hour; RAFTY_TENURES says another number"]
fn memory_files_and_descriptors_are_flat_for_24_days_of_tenures() {
    let most = std::env::var("RAFTY_TENURES").map_or(TENURES, |text| text.parse().expect("a number"));
    let folder = Folder::new();
    let mut set = folder.three(&["--tenure", "1s", "--grace", "1s"]);
    set.settle(3);
    let lasting: Vec<_> = set.members.iter().map(|member| member.id().expect("it runs")).collect();
    let tenures = |member: &Member| -> Option<u64> {
        let members = member.status()?.node.members;
        Some(members.iter().filter(|line| lasting.contains(&line.id)).map(|line| line.tenures).sum())
    };
    let began = Instant::now();
    let (mut samples, mut churned, mut newest) = (Vec::new(), 0_u64, 0);
    while newest < most {
        let next = newest + BETWEEN_CHURN;
        newest = until("more tenures", || tenures(set.founder()).filter(|now| *now >= next));
        samples.push((newest, held(set.founder())));
        churned += 1;
        match churned % 3 {
            0 => {
                set.members[1].kill();
                set.members[1].restart();
            }
            1 => {
                let dir = set.join(folder.path(&format!("guest-{churned}")));
                set.members.push(Member::start(dir));
                until("the guest", || set.members[3].id());
            }
            _ => {
                let mut guest = set.members.remove(3);
                let id = guest.id().expect("it runs").to_string();
                ok(&rafty(), &["members", "remove", &id, "--dir", &set.founder().dir]);
                guest.kill();
            }
        }
        set.founder().set("visits", churned).expect("a write");
        if churned.is_multiple_of(24) {
            eprintln!("{newest} tenures in {:.0?}: {:?}", began.elapsed(), samples.last().expect("one").1);
        }
    }
    let warm = samples.iter().position(|(at, _)| at * 100 >= most * WARM_UP).expect("a sample");
    let samples: Vec<_> = samples[warm..].iter().map(|(_, held)| *held).collect();
    let (early, late) = samples.split_at(samples.len() / 2);
    let (early, late) = (largest(early), largest(late));
    eprintln!("largest in the first half: {early:?}; in the second: {late:?}");
    assert!(late.memory_kb <= early.memory_kb * 105 / 100, "memory grows");
    assert!(late.descriptors <= early.descriptors + 2, "descriptors grow");
    assert!(late.files <= early.files + 2, "files grow");
    assert!(late.disk_bytes <= early.disk_bytes * 5 / 4, "the disk fills");
}
