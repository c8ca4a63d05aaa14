//! Appending to the log, one sync a group: what an acknowledged write costs the disk under the current directory.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rafty_storage::Log;
use rafty_types::{
    Batch, Compaction, Entry, HardState, Index, MemberId, Membership, Payload, Snapshot, SnapshotMeta, Term,
};

/// Bytes of each command.
const COMMAND_LEN: usize = 130;
/// Entries after which the log is cut, as a member does.
const CUT_AFTER: u64 = 10_000;

fn append(from: u64, entries: u64) -> Batch {
    let entry = |index| {
        let payload = Payload::Command([7; COMMAND_LEN].as_slice().into());
        Entry { index: Index(index), term: Term(1), payload }
    };
    let hard_state = HardState { term: Term(1), voted_for: None, commit: Index(from - 1) };
    let entries = (from..from + entries).map(entry).collect();
    Batch { entries, hard_state: Some(hard_state), ..Batch::default() }
}

fn cut(at: u64) -> Batch {
    let membership = Membership { voters: vec![MemberId(1)], ..Membership::default() };
    let meta = SnapshotMeta { index: Index(at), term: Term(1), membership };
    let snapshot = Snapshot { meta, data: [1; 1_000].as_slice().into() };
    Batch { compaction: Some(Compaction { snapshot, first_kept: Index(at) }), ..Batch::default() }
}

fn groups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append and sync");
    for entries in [1, 64] {
        let dir = tempfile::tempdir_in(".").expect("a directory here");
        Log::create(dir.path()).unwrap();
        let mut log = Log::open(dir.path()).unwrap().0;
        let (mut next, mut cut_at) = (1, CUT_AFTER);
        group.throughput(Throughput::Elements(entries));
        group.bench_function(BenchmarkId::from_parameter(entries), |bencher| {
            bencher.iter(|| {
                log.write(&[append(next, entries)]).unwrap();
                next += entries;
                if next > cut_at {
                    log.write(&[cut(next - 2)]).unwrap();
                    cut_at = next + CUT_AFTER;
                }
            });
        });
    }
}

criterion_group!(benches, groups);
criterion_main!(benches);
