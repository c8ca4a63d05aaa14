//! Sealing a model for eight, and opening an update: RSA and the stream apart, by the size of what is sealed.

#[path = "../tests/fixture/mod.rs"]
mod fixture;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fixture::{AGGREGATOR, Envelope, content, identity, label, rng, rsa_key};
use rafty_seal::{RsaKey, seal};
use rafty_types::MemberId;
use std::hint::black_box;

/// Without content, of 100,000 and of a million weights, in bytes.
const SIZES: [usize; 3] = [0, 400_000, 4_000_000];

fn sealing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal for eight");
    let sender = identity(AGGREGATOR);
    let recipients: Vec<_> = (1..=8).map(|id| (MemberId(id), rsa_key(AGGREGATOR).public().clone())).collect();
    for size in SIZES {
        let content = content(size);
        let label = label(&content);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                let mut ciphertext = Vec::with_capacity(size + size / 1_000 + 1_000);
                let mut plaintext = content.as_slice();
                seal(label.clone(), &recipients, &sender, &mut plaintext, &mut ciphertext, &mut rng(7))
                    .unwrap();
                ciphertext
            });
        });
    }
}

fn opening(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    let key = rsa_key(AGGREGATOR);
    for size in SIZES {
        let envelope = Envelope::of(&content(size), &[AGGREGATOR]);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| envelope.open_as(AGGREGATOR, &key).unwrap());
        });
    }
}

fn key_reading(criterion: &mut Criterion) {
    let der = rsa_key(AGGREGATOR).to_der();
    criterion.bench_function("read an RSA pair", |bencher| {
        bencher.iter(|| RsaKey::from_der(black_box(&der)).unwrap());
    });
}

criterion_group!(benches, sealing, opening, key_reading);
criterion_main!(benches);
