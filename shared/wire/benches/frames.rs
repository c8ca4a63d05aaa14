//! The frame that carries writes from the leader to a follower, to bytes and back.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rafty_types::{Entry, Frame, Index, MemberId, Message, MessageKind, Payload, Term};
use rafty_wire::{decode_frame, encode_frame};
use std::hint::black_box;

/// Bytes of each command.
const COMMAND_LEN: usize = 130;

fn append(entries: u64) -> Frame {
    let entry = |index| {
        let payload = Payload::Command([7; COMMAND_LEN].as_slice().into());
        Entry { index: Index(index), term: Term(5), payload }
    };
    Frame::Raft(Box::new(Message {
        log_term: Term(5),
        index: Index(1_000),
        entries: (1_001..1_001 + entries).map(entry).collect(),
        commit: Index(999),
        ..Message::new(MessageKind::Append, MemberId(1), MemberId(2), Term(5))
    }))
}

fn frames(criterion: &mut Criterion) {
    for entries in [0, 1, 64] {
        let frame = append(entries);
        let bytes = encode_frame(&frame).unwrap();
        let mut group = criterion.benchmark_group("append of entries");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("encode", entries), |bencher| {
            bencher.iter(|| encode_frame(black_box(&frame)).unwrap());
        });
        group.bench_function(BenchmarkId::new("decode", entries), |bencher| {
            bencher.iter(|| decode_frame(black_box(&bytes)).unwrap());
        });
    }
}

criterion_group!(benches, frames);
criterion_main!(benches);
