//! Frames between members.

use super::*;
use bytes::Bytes;
use rafty_types::{Command, Entry, Payload};
use rafty_wire::{HEADER_LEN, Header, Stamp};
use std::net::UdpSocket;

fn commit_of(frame: &Frame) -> u64 {
    match frame {
        Frame::Raft(message) => message.commit.0,
        other => panic!("{other:?}"),
    }
}

#[test]
fn members_hear_each_other_in_both_directions() {
    let (one, two) = pair();
    one.net.send(two.id(), &heartbeat(&one, &two, 5));
    assert_eq!(two.expect_frame(), (one.id(), heartbeat(&one, &two, 5)));
    two.net.send(one.id(), &progress(3));
    assert_eq!(one.expect_frame(), (two.id(), progress(3)));
    assert!(one.net.stats().peers[&two.id()].rtt.is_some());
}

#[test]
fn control_frames_arrive_all_and_in_order() {
    let (one, two) = pair();
    for round in 0..200 {
        one.net.send(two.id(), &progress(round));
    }
    for round in 0..200 {
        assert_eq!(two.expect_frame(), (one.id(), progress(round)));
    }
}

#[test]
fn a_raft_message_too_long_for_a_datagram_goes_by_stream() {
    let (one, two) = pair();
    let payload = Payload::Command(bytes(1024 * 1024));
    let entries = vec![Entry { index: Index(1), term: Term(1), payload }];
    let append = Message { entries, ..message(one.id(), two.id(), MessageKind::Append, 0) };
    let frame = Frame::Raft(Box::new(append));
    one.net.send(two.id(), &frame);
    assert_eq!(two.expect_frame(), (one.id(), frame));
}

#[test]
fn a_control_frame_waits_for_its_member_and_a_heartbeat_does_not() {
    let (one, two) = (Host::start(1), Host::start(2));
    one.knows(&[&two]);
    one.net.send(two.id(), &heartbeat(&one, &two, 1));
    one.net.send(two.id(), &progress(1));
    two.knows(&[&one]);
    assert_eq!(two.expect_frame(), (one.id(), progress(1)));
    assert_eq!(one.dropped(DropReason::NotConnected), 1);
}

#[test]
fn what_cannot_be_sent_is_counted() {
    let one = Host::start(1);
    one.net.send(MemberId(9), &progress(1));
    assert_eq!(one.dropped(DropReason::NotConnected), 1);
    let command = Command::User(vec![0; rafty_wire::MAX_FRAME_LEN]);
    one.net.send(MemberId(9), &Frame::Forward { request: 1, session: None, command: Box::new(command) });
    assert_eq!(one.dropped(DropReason::TooLong), 1);
}

#[test]
fn a_datagram_is_taken_once_and_never_late() {
    let host = Host::start(1);
    let guest = RosterPeer { id: MemberId(2), key: key(2), addresses: vec![] };
    host.net.set_roster(host.id(), &[guest]);
    let caller = Caller::call(&host, Some(2), Lane::Peer);
    smol::block_on(caller.connection.open_uni()).unwrap();
    let mut stamp = Stamp::default();
    let mut datagrams = vec![];
    for commit in 1..=4 {
        let beat = Frame::Raft(Box::new(message(MemberId(2), MemberId(1), MessageKind::Heartbeat, commit)));
        datagrams.push(Bytes::from(stamp.seal(&encode_frame(&beat).unwrap())));
    }
    for which in [0, 0, 2, 1, 2, 3] {
        caller.connection.send_datagram(datagrams[which].clone()).unwrap();
    }
    let commits: Vec<_> = (0..3).map(|_| commit_of(&host.expect_frame().1)).collect();
    assert_eq!(commits, [1, 3, 4]);
    assert_eq!(host.dropped(DropReason::StaleDatagram), 3);
}

#[test]
fn a_raft_message_must_name_its_sender_and_its_receiver() {
    let (one, two) = pair();
    let (from, to) = (one.id(), two.id());
    for (claimed, meant) in [(MemberId(3), to), (from, MemberId(3))] {
        let beat = message(claimed, meant, MessageKind::Heartbeat, 1);
        one.net.send(to, &Frame::Raft(Box::new(beat)));
    }
    one.net.send(to, &heartbeat(&one, &two, 2));
    assert_eq!(commit_of(&two.expect_frame().1), 2);
    assert_eq!(two.dropped(DropReason::WrongSender), 2);
}

#[test]
fn a_newer_frame_is_skipped_and_a_broken_stream_is_closed() {
    let host = Host::start(1);
    let guest = RosterPeer { id: MemberId(2), key: key(2), addresses: vec![] };
    host.net.set_roster(host.id(), &[guest]);
    let caller = Caller::call(&host, Some(2), Lane::Peer);
    let mut control = smol::block_on(caller.connection.open_uni()).unwrap();
    let unknown = [&Header { kind: 100, len: 3 }.encode()[..], &[1, 2, 3]].concat();
    let malformed = [&Header { kind: 3, len: 3 }.encode()[..], &[3, 0xff, 0xff]].concat();
    let good = encode_frame(&progress(1)).unwrap();
    smol::block_on(control.write_all(&[unknown, malformed, good].concat())).unwrap();
    assert_eq!(host.expect_frame(), (MemberId(2), progress(1)));
    assert_eq!(host.dropped(DropReason::UnknownType), 1);
    assert_eq!(host.dropped(DropReason::Malformed), 1);
    smol::block_on(control.write_all(&[0; HEADER_LEN])).unwrap();
    caller.expect_closed_with(Close::Malformed);
}

#[test]
fn bytes_that_are_not_ours_change_nothing() {
    let (one, two) = pair();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for len in [0, 1, 8, 21, 22, 100, 1199, 1200, 1400, 4000] {
        let mut garbage = bytes(len).to_vec();
        for first in [0x00, 0x40, 0x80, 0xc0, 0xff] {
            garbage.iter_mut().take(1).for_each(|byte| *byte = first);
            socket.send_to(&garbage, two.address()).unwrap();
        }
    }
    one.net.send(two.id(), &progress(1));
    assert_eq!(two.expect_frame(), (one.id(), progress(1)));
}

#[test]
fn a_restarted_member_is_reachable_again_in_both_directions() {
    let (one, two) = pair();
    let address = two.kill();
    let two = Host::start_at(2, address);
    let start = Instant::now();
    two.knows(&[&one]);
    one.expect_connected(&two);
    two.expect_connected(&one);
    // Well below the idle timeout: it was not waited for.
    assert!(start.elapsed() < transport::PEER_IDLE / 2, "{:?}", start.elapsed());
    one.net.send(two.id(), &progress(1));
    assert_eq!(two.expect_frame(), (one.id(), progress(1)));
    two.net.send(one.id(), &progress(2));
    assert_eq!(one.expect_frame(), (two.id(), progress(2)));
}

#[test]
fn a_restarted_member_that_calls_nobody_says_that_it_forgot() {
    let (one, two) = pair();
    let address = two.kill();
    let two = Host::start_at(2, address);
    two.net.set_roster(two.id(), &[RosterPeer { addresses: vec![], ..one.as_peer() }]);
    let start = Instant::now();
    one.net.send(two.id(), &heartbeat(&one, &two, 1));
    one.expect_connected(&two);
    assert!(start.elapsed() < transport::PEER_IDLE / 2, "{:?}", start.elapsed());
}

#[test]
fn a_member_that_moved_is_found_where_it_calls_from() {
    let (one, two) = pair();
    two.kill();
    let two = Host::start(2);
    two.knows(&[&one]);
    one.expect_connected(&two);
    one.net.send(two.id(), &progress(1));
    assert_eq!(two.expect_frame(), (one.id(), progress(1)));
}

#[test]
fn of_many_addresses_of_a_member_all_are_tried_a_few_at_each_look() {
    let addresses: Vec<SocketAddr> = (1..=20).map(|last| ([10, 0, 0, last], 7400).into()).collect();
    let tried: BTreeSet<_> = (0..5).flat_map(|look| some_of(&addresses, look)).collect();
    assert_eq!(tried.len(), 20);
    assert!((0..9).all(|look| some_of(&addresses, look).len() == 4));
    assert_eq!(some_of(&addresses[..3], 7).len(), 3);
    assert!(some_of(&[], 7).is_empty());
}
