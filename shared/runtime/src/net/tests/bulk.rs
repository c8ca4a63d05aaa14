//! Envelopes and snapshots.

use super::*;
use rafty_types::{Digest, SnapshotMeta};
use rafty_wire::{BulkHead, BulkReply, MAX_CHUNK_LEN, encode_head};
use smol::stream::StreamExt;

fn envelope(host: &Host) -> (MemberId, Vec<u8>, u64, u64) {
    host.expect(|event| match event {
        NetEvent::Envelope { from, header, handle, len } => Some((from, header, handle, len)),
        _ => None,
    })
}

fn taken(delivery: Delivery) -> bool {
    smol::block_on(within(PATIENCE, delivery.taken())).expect("in time")
}

#[test]
fn an_envelope_arrives_whole_from_memory_and_from_a_file() {
    let (one, two) = pair();
    let body = bytes(10 * 1024 * 1024);
    let file = one.spool.path(99);
    std::fs::write(&file, &body).unwrap();
    for source in [BulkBody::Bytes(body.clone()), BulkBody::File(file)] {
        let delivery = one.net.send_envelope(two.id(), vec![1, 2, 3], source);
        let (from, header, handle, len) = envelope(&two);
        assert_eq!((from, header, len), (one.id(), vec![1, 2, 3], body.len() as u64));
        let received = std::fs::read(two.spool.path(handle)).unwrap();
        assert_eq!(Digest::of(&received), Digest::of(&body));
        assert!(taken(delivery));
    }
    assert!(two.spool.discarded.lock().unwrap().is_empty());
}

#[test]
fn many_envelopes_all_arrive_and_too_many_are_refused_at_once() {
    let (one, two) = pair();
    let deliveries: Vec<_> =
        (0..100u8).map(|n| one.net.send_envelope(two.id(), vec![n], BulkBody::Bytes(bytes(1000)))).collect();
    let mut taken_count = 0;
    let mut arrived = BTreeSet::new();
    for delivery in deliveries {
        taken_count += usize::from(taken(delivery));
        while let Ok(event) = two.events.other.try_recv() {
            if let NetEvent::Envelope { header, .. } = event {
                arrived.insert(header);
            }
        }
    }
    assert_eq!(arrived.len(), taken_count);
    assert!(taken_count >= 16);
    assert_eq!(one.dropped(DropReason::BulkQueueFull), 100 - taken_count as u64);
}

#[test]
fn a_snapshot_arrives_whole_with_its_message() {
    let (one, two) = pair();
    for len in [0, 1, 3 * 1024 * 1024 + 17] {
        let snapshot = Some(SnapshotMeta { index: Index(9), ..SnapshotMeta::default() });
        let sent = Message { snapshot, ..message(one.id(), two.id(), MessageKind::Snapshot, 0) };
        let body = bytes(len);
        two.net.follow(Some(one.id()));
        let delivery = one.net.send_snapshot(two.id(), sent.clone(), body.clone());
        let (from, message, data) = two.expect(|event| match event {
            NetEvent::Snapshot { from, message, data } => Some((from, message, data)),
            _ => None,
        });
        assert_eq!((from, message), (one.id(), sent));
        assert!(data == body);
        assert!(taken(delivery));
    }
}

#[test]
fn a_snapshot_goes_on_where_the_connection_broke() {
    let (one, two) = (Host::start(1), Host::start(2));
    two.knows(&[&one, &two]);
    two.net.follow(Some(one.id()));
    let total = 5 * MAX_CHUNK_LEN / 2;
    let data = bytes(total as usize);
    let snapshot = Some(SnapshotMeta { index: Index(9), ..SnapshotMeta::default() });
    let sent = Message { snapshot, ..message(one.id(), two.id(), MessageKind::Snapshot, 0) };
    let chunk = |offset, len| BulkHead::SnapshotChunk {
        message: Box::new(sent.clone()),
        offset,
        len,
        total,
        digest: Digest::of(&data),
    };
    let (ask, first) = (chunk(0, 0), chunk(0, MAX_CHUNK_LEN));
    let caller = Caller::call(&two, Some(1), Lane::Bulk);
    assert_eq!(answer(&caller, &ask, &[]), BulkReply::TakenUpTo(0));
    // Its first byte is wrong, which shows only in the whole.
    let spoilt = [&[!data[0]], &data[1..MAX_CHUNK_LEN as usize]].concat();
    assert_eq!(answer(&caller, &first, &spoilt), BulkReply::Accepted);
    caller.hang_up();
    let again = Caller::call(&two, Some(1), Lane::Bulk);
    assert_eq!(answer(&again, &ask, &[]), BulkReply::TakenUpTo(MAX_CHUNK_LEN));
    again.hang_up();

    one.knows(&[&one, &two]);
    let send = || taken(one.net.send_snapshot(two.id(), sent.clone(), data.clone()));
    assert!(!send(), "it went on behind the wrong byte");
    assert!(send(), "it began anew");
    let arrived = two.expect(|event| match event {
        NetEvent::Snapshot { data, .. } => Some(data),
        _ => None,
    });
    assert!(arrived == data);
}

#[test]
fn a_snapshot_in_another_name_is_refused() {
    let (one, two) = pair();
    let snapshot = Some(SnapshotMeta::default());
    let forged = Message { snapshot, ..message(MemberId(3), two.id(), MessageKind::Snapshot, 0) };
    assert!(!taken(one.net.send_snapshot(two.id(), forged, bytes(10))));
    assert_eq!(two.dropped(DropReason::WrongSender), 1);
}

#[test]
fn a_snapshot_of_another_than_the_leader_is_refused_before_its_body_is_read() {
    let (one, two) = pair();
    let snapshot = Some(SnapshotMeta::default());
    let sent = Message { snapshot, ..message(one.id(), two.id(), MessageKind::Snapshot, 0) };
    let send = || taken(one.net.send_snapshot(two.id(), sent.clone(), bytes(10)));
    assert!(!send(), "nobody leads");
    two.net.follow(Some(two.id()));
    assert!(!send(), "somebody else leads");
    two.net.follow(Some(one.id()));
    assert!(send());
    two.net.follow(None);
    let caller = Caller::call(&two, Some(1), Lane::Bulk);
    let (total, digest) = (MAX_CHUNK_LEN, Digest::of(b""));
    let head =
        BulkHead::SnapshotChunk { message: Box::new(sent.clone()), offset: 0, len: total, total, digest };
    assert_eq!(answer_to_head(&caller, &head), BulkReply::Refused);
    caller.hang_up();
    assert_eq!(two.dropped(DropReason::NotLeader), 3);
}

#[test]
fn an_envelope_of_no_use_is_refused_before_its_body_is_read() {
    let (one, two) = pair();
    let delivery = one.net.send_envelope(two.id(), UNWANTED.to_vec(), BulkBody::Bytes(bytes(10)));
    assert!(!taken(delivery));
    let caller = Caller::call(&two, Some(1), Lane::Bulk);
    for head in [
        BulkHead::Envelope { header: UNWANTED.to_vec(), body_len: 10 },
        BulkHead::LongEnvelope { header: UNWANTED.to_vec(), body_len: 10 },
    ] {
        assert_eq!(answer_to_head(&caller, &head), BulkReply::Refused);
    }
    caller.hang_up();
    assert_eq!(two.dropped(DropReason::Unwanted), 3);
    assert_eq!(*two.spool.next.lock().unwrap(), 0, "no file was made");
}

#[test]
fn an_item_for_nobody_fails_and_says_so() {
    let (one, two) = pair();
    assert!(!taken(one.net.send_envelope(MemberId(9), vec![], BulkBody::Bytes(bytes(1)))));
    let missing = BulkBody::File(one.spool.path(77));
    assert!(!taken(one.net.send_envelope(two.id(), vec![], missing)));
    let long = vec![0; rafty_wire::MAX_ENVELOPE_HEADER_LEN + 1];
    assert!(!taken(one.net.send_envelope(two.id(), long, BulkBody::Bytes(bytes(1)))));
}

/// What the host answers to a head behind which nothing comes yet.
fn answer_to_head(caller: &Caller, head: &BulkHead) -> BulkReply {
    smol::block_on(async {
        let (mut send, mut receive) = caller.connection.open_bi().await.unwrap();
        send.write_all(&encode_head(head).unwrap()).await.unwrap();
        units::read_head(&mut receive).await.unwrap()
    })
}

/// What the host answers to a head and a body made by hand.
fn answer(caller: &Caller, head: &BulkHead, body: &[u8]) -> BulkReply {
    smol::block_on(async {
        let (mut send, mut receive) = caller.connection.open_bi().await.unwrap();
        send.write_all(&encode_head(head).unwrap()).await.unwrap();
        // The host may hang up on the stream before it has read all.
        let _ = send.write_all(body).await;
        let _ = send.finish();
        units::read_head(&mut receive).await.unwrap()
    })
}

#[test]
fn an_envelope_cut_short_or_too_long_leaves_no_file_behind() {
    let host = Host::start(1);
    let guest = RosterPeer { id: MemberId(2), key: key(2), addresses: vec![] };
    host.net.set_roster(host.id(), &[guest]);
    let caller = Caller::call(&host, Some(2), Lane::Bulk);
    let head = BulkHead::Envelope { header: vec![1], body_len: 100 };
    assert_eq!(answer(&caller, &head, &[0; 99]), BulkReply::Refused);
    assert_eq!(answer(&caller, &head, &[0; 101]), BulkReply::Refused);
    assert_eq!(answer(&caller, &head, &[0; 100]), BulkReply::Accepted);
    assert_eq!(envelope(&host).3, 100);
    eventually(|| host.spool.discarded.lock().unwrap().len() == 2);
    assert_eq!(host.dropped(DropReason::BulkRefused), 2);
}

#[test]
fn an_envelope_goes_on_where_the_connection_broke() {
    const BROKE_AT: usize = 1024 * 1024;
    let (one, two) = (Host::start(1), Host::start(2));
    two.knows(&[&one, &two]);
    let (header, body) = (vec![1, 2, 3], bytes(3 * 1024 * 1024 + 17));
    // Its first byte is wrong: nothing here looks into it, and it shows whether that part was sent again.
    let spoilt = [&[!body[0]], &body[1..BROKE_AT]].concat();
    let caller = Caller::call(&two, Some(1), Lane::Bulk);
    let (mut send, mut receive) = smol::block_on(caller.connection.open_bi()).unwrap();
    smol::block_on(async {
        let head = BulkHead::LongEnvelope { header: header.clone(), body_len: body.len() as u64 };
        send.write_all(&encode_head(&head).unwrap()).await.unwrap();
        assert_eq!(units::read_head::<BulkReply>(&mut receive).await.unwrap(), BulkReply::TakenUpTo(0));
        send.write_all(&spoilt).await.unwrap();
    });
    let on_disk = || std::fs::metadata(two.spool.path(1)).map_or(0, |file| file.len());
    eventually(|| on_disk() == BROKE_AT as u64);
    caller.hang_up();
    two.expect_dropped(DropReason::BulkRefused, 1);

    one.knows(&[&one, &two]);
    let send = || {
        let delivery = one.net.send_envelope(two.id(), header.clone(), BulkBody::Bytes(body.clone()));
        let (_, _, handle, len) = envelope(&two);
        assert!(taken(delivery) && len == body.len() as u64);
        std::fs::read(two.spool.path(handle)).unwrap()
    };
    assert!(send() == [&spoilt, &body[BROKE_AT..]].concat(), "it went on");
    assert!(send() == *body, "the next one is sent whole");
    assert!(two.spool.discarded.lock().unwrap().is_empty());
}

#[test]
fn a_sender_that_dies_in_the_middle_leaves_no_file_behind() {
    let host = Host::start(1);
    let guest = RosterPeer { id: MemberId(2), key: key(2), addresses: vec![] };
    host.net.set_roster(host.id(), &[guest]);
    let caller = Caller::call(&host, Some(2), Lane::Bulk);
    let files = || std::fs::read_dir(host.spool.dir.path()).unwrap().count();
    let (mut send, _receive) = smol::block_on(caller.connection.open_bi()).unwrap();
    let head = BulkHead::Envelope { header: vec![1], body_len: 1 << 20 };
    smol::block_on(send.write_all(&encode_head(&head).unwrap())).unwrap();
    smol::block_on(send.write_all(&[0; 1 << 19])).unwrap();
    eventually(|| files() == 1);
    caller.connection.close(Close::Done.code(), b"");
    host.expect_dropped(DropReason::BulkRefused, 1);
    eventually(|| files() == 0);
}

#[test]
fn an_item_that_nobody_wants_any_more_is_given_up_on_its_way() {
    let (one, two) = pair();
    let first = one.net.send_envelope(two.id(), vec![1], BulkBody::Bytes(bytes(100)));
    envelope(&two);
    assert!(taken(first), "a connection is there");
    let body = bytes(100 * 1024 * 1024);
    let unwanted = one.net.send_envelope(two.id(), vec![2], BulkBody::Bytes(body));
    eventually(|| std::fs::read_dir(two.spool.dir.path()).unwrap().count() == 2);
    drop(unwanted);
    two.expect_dropped(DropReason::BulkRefused, 1);
    let next = one.net.send_envelope(two.id(), vec![3], BulkBody::Bytes(bytes(100)));
    assert_eq!(envelope(&two).1, [3]);
    assert!(taken(next));
}

#[test]
fn bulk_reaches_a_member_that_restarted() {
    let (one, two) = pair();
    let first = one.net.send_envelope(two.id(), vec![1], BulkBody::Bytes(bytes(100)));
    envelope(&two);
    assert!(taken(first));
    let address = two.kill();
    let two = Host::start_at(2, address);
    two.knows(&[&one]);
    one.expect_connected(&two);
    two.expect_connected(&one);
    let arrived = (0..10).any(|_| {
        let delivery = one.net.send_envelope(two.id(), vec![2], BulkBody::Bytes(bytes(100)));
        taken(delivery)
    });
    assert!(arrived);
    assert_eq!(envelope(&two).1, [2]);
}

#[test]
fn a_bulk_connection_that_its_member_has_forgotten_is_given_up_when_the_member_calls() {
    let (one, two) = pair();
    let first = one.net.send_envelope(two.id(), vec![1], BulkBody::Bytes(bytes(100)));
    envelope(&two);
    assert!(taken(first));
    // Nobody says there that the connection is over.
    let _silent = std::net::UdpSocket::bind(two.kill()).unwrap();
    let two = Host::start(2);
    two.knows(&[&one]);
    one.expect_connected(&two);
    let began = Instant::now();
    while !taken(one.net.send_envelope(two.id(), vec![2], BulkBody::Bytes(bytes(100)))) {}
    assert_eq!(envelope(&two).1, [2]);
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
}

#[test]
fn members_that_send_a_byte_now_and_then_hold_up_nobody() {
    const CRAWLERS: u8 = 4;
    let (host, lively) = (Host::start(1), Host::start(2));
    let crawler = |seed: u8| RosterPeer { id: MemberId(seed.into()), key: key(seed), addresses: vec![] };
    let crawlers = (3..3 + CRAWLERS).map(crawler);
    host.net.set_roster(host.id(), &crawlers.chain([lively.as_peer()]).collect::<Vec<_>>());
    lively.knows(&[&host]);
    let callers: Vec<_> = (3..3 + CRAWLERS).map(|seed| Caller::call(&host, Some(seed), Lane::Bulk)).collect();
    let crawls = |caller: &Caller| {
        let connection = caller.connection.clone();
        smol::spawn(async move {
            let (mut send, _receive) = connection.open_bi().await.unwrap();
            let head = BulkHead::Envelope { header: vec![1], body_len: 1 << 20 };
            send.write_all(&encode_head(&head).unwrap()).await.unwrap();
            let mut pace = smol::Timer::interval(Duration::from_millis(200));
            while send.write_all(&[0]).await.is_ok() {
                pace.next().await;
            }
        })
    };
    let _crawling: Vec<_> = callers.iter().flat_map(|caller| [crawls(caller), crawls(caller)]).collect();
    let files = || std::fs::read_dir(host.spool.dir.path()).unwrap().count();
    eventually(|| files() == super::super::INBOUND_BULK);
    let began = Instant::now();
    let delivery = lively.net.send_envelope(host.id(), vec![2], BulkBody::Bytes(bytes(100)));
    assert_eq!(envelope(&host).1, [2]);
    assert!(taken(delivery));
    assert!(began.elapsed() < Duration::from_secs(8), "it took {:?}", began.elapsed());
}

#[test]
fn members_that_stand_still_hold_up_nobody() {
    let one = Host::start(1);
    let others: Vec<_> = (2..8).map(Host::start).collect();
    one.knows(&others.iter().collect::<Vec<_>>());
    for other in &others {
        other.knows(&[&one]);
        let delivery = one.net.send_envelope(other.id(), vec![0], BulkBody::Bytes(bytes(100)));
        envelope(other);
        assert!(taken(delivery), "a connection is there");
    }
    let mut others = others.into_iter();
    let lively = others.next().expect("one of six");
    let still: Vec<_> = others.map(|host| (host.id(), host.kill())).collect();
    let long = bytes(10 * 1024 * 1024);
    let in_vain = |(to, _): &(MemberId, SocketAddr)| {
        [0; 2].map(|_| one.net.send_envelope(*to, vec![1], BulkBody::Bytes(long.clone())))
    };
    let _in_vain: Vec<_> = still.iter().flat_map(in_vain).collect();
    let began = Instant::now();
    let delivery = one.net.send_envelope(lively.id(), vec![2], BulkBody::Bytes(long.clone()));
    assert_eq!(envelope(&lively).1, [2]);
    assert!(taken(delivery));
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
}
