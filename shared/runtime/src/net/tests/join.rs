//! Newcomers.

use super::*;
use rafty_types::{EnrolmentStatement, Signature};
use rafty_wire::JoinReply;

fn enrolment(cluster: ClusterId, exporter: [u8; 32]) -> Enrolment {
    let statement = EnrolmentStatement {
        set: SetId::first(cluster),
        key: key(5),
        rsa_public: vec![1],
        addresses: vec![],
        exporter,
    };
    let signature = Signature::from_bytes(&[1; 64]);
    Enrolment { token: [3; 16], statement, own_signature: signature, token_signature: signature }
}

fn hash_of(host: &Host) -> [u8; 16] {
    let mut hash = [0; 16];
    hash.copy_from_slice(&blake3::hash(&key(host.number).0).as_bytes()[..16]);
    hash
}

fn granted() -> JoinReply {
    JoinReply::Granted {
        member: MemberId(5),
        cluster: CLUSTER,
        name: "home".into(),
        settings: rafty_types::Settings::default(),
        members: vec![],
    }
}

fn ask(
    host: &Host,
    hash: [u8; 16],
    make: impl FnOnce([u8; 32]) -> Enrolment,
) -> Result<JoinReply, JoinError> {
    ask_at(&[host.address()], hash, make)
}

fn ask_at(
    servers: &[SocketAddr],
    hash: [u8; 16],
    make: impl FnOnce([u8; 32]) -> Enrolment,
) -> Result<JoinReply, JoinError> {
    let runner = Runner::start();
    let reply = smol::block_on(async {
        match reach(&runner.executor, CLUSTER, servers, hash).await {
            Ok(reached) => reached.ask(make).await,
            Err(mut failures) => Err(failures.pop().expect("somebody was asked").1),
        }
    });
    runner.stop();
    reply
}

#[test]
fn a_newcomer_is_heard_and_answered() {
    let host = Host::start(1);
    std::thread::scope(|scope| {
        let newcomer = scope.spawn(|| ask(&host, hash_of(&host), |exporter| enrolment(CLUSTER, exporter)));
        let reply = host.expect(|event| match event {
            NetEvent::Join { enrolment, reply } => (enrolment.token == [3; 16]).then_some(reply),
            _ => None,
        });
        reply.try_send(JoinDecision::Reply(granted())).unwrap();
        assert_eq!(newcomer.join().unwrap().unwrap(), granted());
    });
}

#[test]
fn addresses_at_which_somebody_else_is_or_nobody_hold_no_newcomer_up() {
    let (host, other) = (Host::start(1), Host::start(2));
    let silent: Vec<_> = (0..14).map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let silent = silent.iter().map(|socket| socket.local_addr().unwrap());
    let servers: Vec<_> = silent.chain([other.address(), host.address()]).collect();
    std::thread::scope(|scope| {
        let began = Instant::now();
        let ask = || ask_at(&servers, hash_of(&host), |exporter| enrolment(CLUSTER, exporter));
        let newcomer = scope.spawn(ask);
        let reply = host.expect(|event| match event {
            NetEvent::Join { reply, .. } => Some(reply),
            _ => None,
        });
        reply.try_send(JoinDecision::Reply(granted())).unwrap();
        assert_eq!(newcomer.join().unwrap().unwrap(), granted());
        assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
    });
}

#[test]
fn a_newcomer_tells_nothing_to_another_responder() {
    let host = Host::start(1);
    let asked = ask(&host, [0; 16], |_| panic!("nothing is signed for it"));
    assert!(matches!(asked, Err(JoinError::WrongResponder(_))), "{asked:?}");
}

#[test]
fn a_statement_made_for_another_connection_or_peer_set_is_refused() {
    let host = Host::start(1);
    let other = |_| enrolment(CLUSTER, [9; 32]);
    assert!(matches!(ask(&host, hash_of(&host), other), Ok(JoinReply::Refused { .. })));
    let foreign = |exporter| enrolment(ClusterId([1; 16]), exporter);
    assert!(matches!(ask(&host, hash_of(&host), foreign), Ok(JoinReply::Refused { .. })));
    let epoch = Epoch::first(CLUSTER);
    let older = |exporter| {
        let mut enrolment = enrolment(CLUSTER, exporter);
        enrolment.statement.set.epoch = epoch.recovered([1; 16]);
        enrolment
    };
    let reply = ask(&host, hash_of(&host), older).unwrap();
    assert_eq!(reply, JoinReply::OtherEpoch { epoch }, "it is told the epoch, so that it can ask again");
    assert_eq!(host.dropped(DropReason::JoinRefused), 3);
    assert!(host.events.other.is_empty());
}

#[test]
fn an_event_that_nobody_answers_becomes_a_refusal() {
    let host = Host::start(1);
    std::thread::scope(|scope| {
        let newcomer = scope.spawn(|| ask(&host, hash_of(&host), |exporter| enrolment(CLUSTER, exporter)));
        host.expect(|event| matches!(event, NetEvent::Join { .. }).then_some(()));
        assert!(matches!(newcomer.join().unwrap(), Ok(JoinReply::Refused { .. })));
    });
}

#[test]
fn whoever_is_to_come_again_is_told_when() {
    let host = Host::start(1);
    let after = Duration::from_millis(1_234);
    std::thread::scope(|scope| {
        let newcomer = scope.spawn(|| ask(&host, hash_of(&host), |exporter| enrolment(CLUSTER, exporter)));
        let reply = host.expect(|event| match event {
            NetEvent::Join { reply, .. } => Some(reply),
            _ => None,
        });
        reply.try_send(JoinDecision::Busy { after }).unwrap();
        let told = newcomer.join().unwrap();
        assert!(matches!(told, Err(JoinError::Busy { after: told }) if told == after), "{told:?}");
    });
    assert_eq!(host.dropped(DropReason::JoinLimited), 1);
}

/// Asks until there is a place: that of whoever knocked before may be taken for a moment yet.
fn ask_again(host: &Host, make: impl Fn([u8; 32]) -> Enrolment) -> Result<JoinReply, JoinError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match ask(host, hash_of(host), &make) {
            Err(JoinError::Busy { .. }) if Instant::now() < until => {}
            answer => return answer,
        }
    }
}

/// However many knock in vain, from one address, nobody else is kept out for that; and they change nothing.
#[test]
fn two_hundred_knocks_with_statements_of_others_keep_nobody_out() {
    let host = Host::start(1);
    for _ in 0..200 {
        let answer = ask_again(&host, |_| enrolment(CLUSTER, [0; 32]));
        assert!(matches!(answer, Ok(JoinReply::Refused { .. })), "{answer:?}");
    }
    assert_eq!(host.dropped(DropReason::JoinRefused), 200);
    std::thread::scope(|scope| {
        let newcomer = scope.spawn(|| ask_again(&host, |exporter| enrolment(CLUSTER, exporter)));
        let reply = host.expect(|event| match event {
            NetEvent::Join { reply, .. } => Some(reply),
            _ => None,
        });
        reply.try_send(JoinDecision::Reply(granted())).unwrap();
        assert_eq!(newcomer.join().unwrap().unwrap(), granted());
    });
}

#[test]
fn nobody_at_the_address_is_said_in_words() {
    let host = Host::start(1);
    let (address, hash) = (host.address(), hash_of(&host));
    host.kill();
    let asked = ask_at(&[address], hash, |_| panic!("nobody is there"));
    assert!(matches!(asked, Err(JoinError::Unreachable(_))), "{asked:?}");
}
