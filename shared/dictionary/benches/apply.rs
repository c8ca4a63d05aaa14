//! Applying a write, without and with a session, and taking a snapshot of a thousand keys.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rafty_dictionary::{Entries, EntryCommand, Replicated};
use rafty_types::*;
use std::hint::black_box;

/// Keys that are written, and bytes of each value.
const KEYS: u64 = 1_000;
const VALUE_LEN: usize = 100;

fn founded() -> Replicated<Entries> {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 7400));
    let founder = Member {
        id: MemberId(1),
        key: PeerKey([3; 32]),
        rsa_public: rsa_public_der(&[0xff; 384]),
        role: MemberKind::Operator,
        may_lead: true,
        addresses: vec![address],
        seat: true,
        tenures: 0,
    };
    let settings = Settings::default();
    let genesis = Genesis { cluster: ClusterId([7; 16]), name: "bench".into(), settings, founder };
    Replicated::found(genesis, Entries::default()).expect("a sound genesis")
}

fn entry(index: Index, command: Command, session: Option<(SessionId, Serial)>) -> Entry {
    let proposal = Proposal {
        origin: MemberId(1),
        term: Term(1),
        stamp: Stamp::Elapsed { elapsed_ms: 0, wall_ms: 1_700_000_000_000 },
        session,
        client: None,
        issue: None,
        command,
    };
    Entry { index, term: Term(1), payload: Payload::Command(proposal.encode().into()) }
}

fn set(number: u64) -> Command {
    let key = format!("k{}", number % KEYS).into_bytes();
    Command::User(EntryCommand::Set { key, value: vec![b'x'; VALUE_LEN] }.encode())
}

fn writes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    group.throughput(Throughput::Elements(1));
    let mut state = founded();
    group.bench_function("a write", |bencher| {
        bencher.iter(|| {
            let next = state.applied().next();
            state.apply(&entry(next, set(next.0), None))
        });
    });
    let opened = state.applied().next();
    state.apply(&entry(opened, Command::Control(ControlCommand::SessionOpened), None));
    let (session, mut serial) = (SessionId(opened.0), Serial(0));
    group.bench_function("a write of a session", |bencher| {
        bencher.iter(|| {
            let next = state.applied().next();
            serial = serial.next();
            state.apply(&entry(next, set(next.0), Some((session, serial))))
        });
    });
    group.finish();
    for _ in 0..KEYS {
        let next = state.applied().next();
        state.apply(&entry(next, set(next.0), None));
    }
    criterion.bench_function("snapshot of a thousand keys", |bencher| {
        bencher.iter(|| black_box(&state).snapshot())
    });
}

criterion_group!(benches, writes);
criterion_main!(benches);
