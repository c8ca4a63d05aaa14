//! Who is let in, and who is not.

use super::*;

fn members(host: &Host, numbers: &[u8]) {
    let peers: Vec<_> = numbers
        .iter()
        .map(|number| RosterPeer { id: MemberId((*number).into()), key: key(*number), addresses: vec![] })
        .collect();
    host.net.set_roster(host.id(), &peers);
}

#[test]
fn a_key_outside_the_roster_gets_nothing_through() {
    let (host, stranger) = (Host::start(1), Host::start(9));
    members(&host, &[2]);
    stranger.knows(&[&host]);
    for _ in 0..10 {
        stranger.net.send(host.id(), &progress(1));
    }
    host.expect_dropped(DropReason::NotInRoster, 2);
    assert!(host.events.urgent.is_empty() && host.events.other.is_empty());
    for _ in 0..2 {
        let refused = stranger.expect(Some);
        assert!(
            matches!(refused, NetEvent::Refused(MemberId(1))),
            "it is told so, and nothing else: {refused:?}"
        );
    }
}

#[test]
fn a_revoked_member_is_cut_off_at_once_and_stays_out() {
    let (one, two) = pair();
    one.knows(&[]);
    two.expect(|event| matches!(event, NetEvent::Disconnected(MemberId(1))).then_some(()));
    one.expect_dropped(DropReason::NotInRoster, 2);
    let next = two.expect(Some);
    assert!(matches!(next, NetEvent::Refused(MemberId(1))), "it did not come back: {next:?}");
    two.net.send(one.id(), &heartbeat(&two, &one, 1));
    assert_eq!(two.dropped(DropReason::NotConnected), 1);
    one.net.send(two.id(), &progress(1));
    assert_eq!(one.dropped(DropReason::NotConnected), 1);
}

#[test]
fn a_revoked_member_is_cut_off_on_the_bulk_lane_too() {
    let host = Host::start(1);
    members(&host, &[2]);
    let caller = Caller::call(&host, Some(2), Lane::Bulk);
    smol::block_on(caller.connection.open_bi()).unwrap();
    members(&host, &[3]);
    caller.expect_closed_with(Close::NotAdmitted);
}

#[test]
fn without_a_key_only_the_join_lane_is_open_and_with_one_it_is_not() {
    let host = Host::start(1);
    members(&host, &[2]);
    for (number, lane) in [(None, Lane::Peer), (None, Lane::Bulk), (Some(2), Lane::Join)] {
        let caller = Caller::call(&host, number, lane);
        let stream = smol::block_on(caller.connection.open_uni());
        assert!(stream.is_err(), "no stream is granted: {lane:?}");
        caller.expect_closed_with(Close::NotAdmitted);
    }
    assert_eq!(host.dropped(DropReason::NotAdmitted), 3);
}

#[test]
fn another_peer_set_with_the_same_keys_is_kept_apart() {
    let host = Host::start(1);
    members(&host, &[2]);
    let caller = Caller::call_set(&host, Some(2), Lane::Peer, SetId::first(ClusterId([8; 16])));
    caller.expect_closed_with(Close::NotAdmitted);
}

#[test]
fn members_of_two_epochs_are_kept_apart_and_both_are_told() {
    let epoch = Epoch::first(CLUSTER).recovered([1; 16]);
    let (old, new) = (Host::start(1), Host::start_in(2, SetId { cluster: CLUSTER, epoch }));
    old.knows(&[&new]);
    new.knows(&[&old]);
    let met = |host: &Host| {
        host.expect(|event| match event {
            NetEvent::OtherEpoch { member, epoch } => Some((member, epoch)),
            NetEvent::Connected(member) => panic!("member {member} was let in"),
            _ => None,
        })
    };
    assert_eq!(met(&old), (new.id(), epoch));
    assert_eq!(met(&new), (old.id(), Epoch::first(CLUSTER)));
    for lane in [Lane::Peer, Lane::Bulk] {
        let caller = Caller::call_set(&new, Some(1), lane, SetId::first(CLUSTER));
        caller.expect_closed_with(Close::OtherEpoch);
    }
}

#[test]
fn a_dialler_sends_nothing_to_another_than_it_meant() {
    let (one, impostor) = (Host::start(1), Host::start(3));
    members(&impostor, &[1]);
    let wrong = RosterPeer { id: MemberId(2), key: key(2), addresses: vec![impostor.address()] };
    one.net.set_roster(one.id(), &[wrong]);
    one.net.send(MemberId(2), &progress(1));
    // The impostor's own call is let in as nobody, and it is never called back as member 2.
    impostor.knows(&[&one]);
    one.expect_dropped(DropReason::NotInRoster, 2);
    assert!(impostor.events.urgent.is_empty());
    let told = std::iter::from_fn(|| impostor.events.other.try_recv().ok());
    assert!(told.into_iter().all(|event| matches!(event, NetEvent::Refused(MemberId(1)))));
}

#[test]
fn a_newer_connection_of_the_same_member_takes_the_place_of_the_older() {
    let host = Host::start(1);
    members(&host, &[2]);
    let older = Caller::call(&host, Some(2), Lane::Peer);
    smol::block_on(older.connection.open_uni()).unwrap();
    let newer = Caller::call(&host, Some(2), Lane::Peer);
    older.expect_closed_with(Close::Superseded);
    smol::block_on(newer.connection.open_uni()).unwrap();
    newer.hang_up();
}

#[test]
fn an_identity_whose_halves_do_not_match_is_refused_before_anything_is_opened() {
    let runner = Runner::start();
    let spool = Arc::new(Folder {
        dir: TempDir::new().unwrap(),
        next: Mutex::default(),
        discarded: Mutex::default(),
    });
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = NetConfig { listen, set: SetId::first(CLUSTER), key: key(1), pkcs8: pkcs8(2) };
    let error = Net::bind(&runner.executor, &config, spool).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_closed_network_lets_go_of_its_port() {
    let (one, two) = pair();
    two.net.close();
    one.expect(|event| matches!(event, NetEvent::Disconnected(MemberId(2))).then_some(()));
    let ended = smol::block_on(within(PATIENCE, async { while two.events.recv().await.is_ok() {} }));
    assert!(ended.is_some(), "its events end");
    let address = two.kill();
    let two = Host::start_at(2, address);
    two.knows(&[&one]);
    one.expect_connected(&two);
}
