//! Folding an update of a million weights into the mean: read from bytes, held against its base, added.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rafty_aggregation::{Distance, FedAvg, UpdateMeta, decode_update, encode_update};
use rafty_types::Metrics;
use std::hint::black_box;

const PARAMS: usize = 1_000_000;

fn folding(criterion: &mut Criterion) {
    let base: Vec<f32> = (0..PARAMS).map(|at| (at % 1_000) as f32 / 1e3).collect();
    let meta = UpdateMeta { num_examples: 100, metrics: Metrics::default() };
    let bytes = encode_update(&meta, &base);
    let mut mean = FedAvg::new(PARAMS);
    let mut group = criterion.benchmark_group("an update of a million weights");
    group.throughput(Throughput::Elements(PARAMS as u64));
    group.bench_function("held against its base", |bencher| {
        bencher.iter(|| {
            let update = decode_update(black_box(&bytes), PARAMS).unwrap();
            let mut distance = Distance::default();
            base.iter().zip(update.weights()).for_each(|(base, weight)| distance.add(*base, weight));
            distance.verdict().unwrap();
        });
    });
    group.bench_function("folded in", |bencher| {
        bencher.iter(|| {
            let update = decode_update(black_box(&bytes), PARAMS).unwrap();
            mean.fold(update.weights(), update.meta.num_examples).unwrap();
        });
    });
}

criterion_group!(benches, folding);
criterion_main!(benches);
