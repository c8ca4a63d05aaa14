//! What it costs. Ignored: figures, not checks.
//!
//! `cargo test --release -p rafty-runtime figures -- --ignored --nocapture --test-threads 1`

use super::*;

#[test]
#[ignore = "a measurement"]
fn round_trip_of_a_datagram() {
    let (one, two) = pair();
    let mut times: Vec<_> = (1..=5_000)
        .map(|n| {
            let start = Instant::now();
            one.net.send(two.id(), &heartbeat(&one, &two, n));
            two.expect_frame();
            two.net.send(one.id(), &heartbeat(&two, &one, n));
            one.expect_frame();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("round trip: p50 {:?}, p99 {:?}", times[2_500], times[4_950]);
}

#[test]
#[ignore = "a measurement"]
fn throughput_of_an_envelope() {
    let (one, two) = pair();
    let body = bytes(40_000_000);
    let file = one.spool.path(99);
    std::fs::write(&file, &body).unwrap();
    for n in 0..8 {
        let body = if n % 2 == 0 { BulkBody::Bytes(body.clone()) } else { BulkBody::File(file.clone()) };
        let start = Instant::now();
        let delivery = one.net.send_envelope(two.id(), vec![], body);
        two.expect(|event| matches!(event, NetEvent::Envelope { .. }).then_some(()));
        assert!(smol::block_on(delivery.taken()));
        let elapsed = start.elapsed();
        println!("envelope of 40 MB: {elapsed:?}, {:.0} MB/s", 40.0 / elapsed.as_secs_f64());
    }
}

#[test]
#[ignore = "a measurement"]
fn time_until_a_restarted_member_is_reachable() {
    let (one, mut two) = pair();
    for _ in 0..5 {
        let address = two.kill();
        std::thread::sleep(Duration::from_secs(4));
        let start = Instant::now();
        two = Host::start_at(2, address);
        two.knows(&[&one]);
        one.expect_connected(&two);
        println!("reachable again after {:?}", start.elapsed());
    }
}
