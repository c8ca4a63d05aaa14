//! A member that lies, against real processes: what an agent's token is not enough for.

mod liar;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
mod updates;

use liar::Liar;
use rafty_runtime::MemberFile;
use rafty_runtime::net::{BulkBody, DropReason, NetEvent, reach};
use rafty_seal::{Identity, RsaPublic, Token, re_enrol};
use rafty_types::{
    Command, ControlCommand, ControlResult, Enrolment, EnrolmentStatement, Entry, ForwardOutcome, Frame,
    Index, Issue, IssueSerial, Member, MemberId, MemberKind, Message, MessageKind, Payload, PeerKey,
    Proposal, Rejection, Signature, SnapshotMeta, Stamp, Term, rsa_public_der,
};
use rafty_wire::JoinReply;
use smol::Executor;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::peer_set::{Folder, PeerSet};
use support::{ok, rafty, run, until};

/// Somebody who was never let in.
const STRANGER: PeerKey = PeerKey([7; 32]);
/// A learner that is ahead, by 2^20 at most, ends a leader's term once a minute; elections add a few.
const TERMS: u64 = (1 << 20) + 10;
/// How soon a revoked member is out.
const OUT_WITHIN: Duration = Duration::from_secs(1);

/// Messages of the engine that only a voter may send.
fn as_if_it_voted(liar: &Liar, to: MemberId, term: Term, last: Index, operator: MemberId) -> Vec<Frame> {
    let of = |kind, term| Message::new(kind, liar.me, to, term);
    let proposal = Proposal {
        origin: operator,
        term: term.next(),
        stamp: Stamp::Elapsed { elapsed_ms: 0, wall_ms: 0 },
        session: None,
        client: None,
        issue: None,
        command: Command::Control(liar.forged_token()),
    };
    let entry = |payload| vec![Entry { index: last.next(), term: term.next(), payload }];
    let append = |entries| Message {
        index: last,
        log_term: term,
        commit: last.next(),
        commit_term: term.next(),
        entries,
        ..of(MessageKind::Append, term.next())
    };
    let mut messages = vec![
        append(entry(Payload::Command(proposal.encode().into()))),
        append(entry(Payload::Empty)),
        Message {
            index: Index(u64::MAX),
            log_term: term.next(),
            ..of(MessageKind::RequestVote, term.next())
        },
        Message {
            index: Index(u64::MAX),
            log_term: term.next(),
            ..of(MessageKind::RequestPreVote, term.next())
        },
        Message { commit: Index(u64::MAX), ..of(MessageKind::Heartbeat, term) },
        of(MessageKind::TimeoutNow, term),
    ];
    for far in [1, 1 << 20, 1 << 21, 1 << 60] {
        let kinds = [MessageKind::Heartbeat, MessageKind::HeartbeatResponse, MessageKind::AppendResponse];
        messages.extend(kinds.map(|kind| of(kind, Term(term.0 + far))));
    }
    messages.into_iter().map(|message| Frame::Raft(Box::new(message))).collect()
}

/// What is not Raft's: who belongs, who votes, who leads, and commands that it may not ask for.
fn as_if_it_were_an_operator(liar: &Liar, to: MemberId, leader: MemberId, operator: MemberId) -> Vec<Frame> {
    let stranger = Member {
        id: MemberId(u64::MAX),
        key: STRANGER,
        rsa_public: Vec::new(),
        role: MemberKind::Operator,
        may_lead: true,
        addresses: liar.file.members[0].addresses.clone(),
        seat: true,
        tenures: 0,
    };
    let unsigned =
        |command| Frame::Forward { request: 1, session: None, command: Box::new(Command::Control(command)) };
    let signed = |by, command: ControlCommand| {
        let serial = IssueSerial { incarnation: 1, count: 1 };
        let issue = Issue { by, serial, seen: Index(1), seen_ms: 0, signature: Signature::default() };
        let issue = Box::new(issue.signed(&liar.identity, liar.file.set(), &command));
        Frame::ForwardIssued { request: 1, session: None, issue, command: Box::new(command) }
    };
    let not_a_key = ControlCommand::RotateKey { member: liar.me, rsa_public: vec![0x30; 300] };
    let mut lies = vec![
        Frame::Roster { index: Index(u64::MAX), members: vec![stranger] },
        Frame::Voters { index: Index(u64::MAX), term: Term(u64::MAX), voters: vec![liar.me] },
        unsigned(liar.forged_token()),
        unsigned(ControlCommand::FeatureLevel { level: 9, without: Vec::new() }),
        unsigned(ControlCommand::Revoke { member: leader }),
        signed(operator, liar.forged_token()),
        signed(operator, ControlCommand::FeatureLevel { level: 9, without: Vec::new() }),
        signed(liar.me, liar.forged_token()),
        signed(liar.me, ControlCommand::Revoke { member: leader }),
        signed(liar.me, not_a_key),
    ];
    lies.extend((0..20).map(|_| Frame::Transfer { to }));
    lies
}

/// Everybody writes and reads what others wrote, and nobody was let in, sent away, or made leader.
fn all_goes_on(set: &PeerSet, term: Term, leader: MemberId, round: usize) {
    for (at, member) in set.members.iter().enumerate() {
        let key = format!("{round}/{at}");
        member.set(&key, at as u64).expect("an acknowledgement");
        for other in &set.members {
            assert_eq!(other.get(&key), Some((at as u64).into()), "{key}");
        }
    }
    for member in &set.members {
        let status = member.status().expect("it runs").node;
        assert!(status.term.0 <= term.0 + TERMS, "from term {term} to {}", status.term);
        assert_eq!(status.members.len(), set.members.len() + 1);
        let led = status.leader.expect("a leader");
        assert!(set.members.iter().any(|one| one.id() == Some(led)), "{led} leads");
        if status.term == term {
            assert_eq!(led, leader);
        }
    }
}

fn three_and_a_liar(folder: &Folder) -> (PeerSet, Liar) {
    let set = folder.three(&[]);
    let liar = Liar::joins(&set, &folder.path("liar"));
    set.settle(4);
    (set, liar)
}

#[test]
fn an_agents_token_is_not_enough_to_stop_a_peer_set_or_to_take_it_over() {
    let folder = Folder::new();
    let (set, liar) = three_and_a_liar(&folder);
    let operator = set.founder().id().expect("it runs");
    for round in 0..3 {
        let status = set.members[set.await_leader()].status().expect("it runs").node;
        let leader = status.leader.expect("a leader");
        for to in liar.others() {
            liar.tells(to, &as_if_it_voted(&liar, to, status.term, status.applied, operator));
            liar.tells(to, &as_if_it_were_an_operator(&liar, to, leader, operator));
        }
        all_goes_on(&set, status.term, leader, round);
    }
    let (token, peer) = (liar.token.to_text().to_string(), liar.file.members[0].addresses[0].to_string());
    let dir = folder.path("stranger");
    let joined = run(&rafty(), &["join", &token, "--peer", &peer, "--listen", "127.0.0.1:0", "--dir", &dir]);
    let said = String::from_utf8_lossy(&joined.stderr);
    assert!(
        joined.status.code() == Some(4) && said.contains("unknown"),
        "by a token that nobody made: {said}"
    );

    ok(&rafty(), &["members", "remove", &liar.me.to_string(), "--dir", &set.founder().dir]);
    let removed = Instant::now();
    for _ in liar.others() {
        let lost = |event| matches!(event, NetEvent::Disconnected(_)).then_some(());
        liar.hears("the end of a connection", lost);
    }
    assert!(removed.elapsed() <= OUT_WITHIN, "it was out after {:?}", removed.elapsed());
    set.settle(3);
}

/// What a liar sends costs a member at most so much memory at any time, in KiB.
const MEMORY_KIB: u64 = 3 * 1024;
/// Length of what it sends, in bytes.
const LONG: usize = 64 * 1024 * 1024;

/// A figure of a running process, in KiB.
fn memory(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a figure");
    line.split_whitespace().next().expect("a number").parse().expect("a number")
}

#[test]
fn what_a_liar_sends_costs_a_member_neither_memory_nor_room_on_its_disk() {
    let folder = Folder::new();
    let (set, liar) = three_and_a_liar(&folder);
    let long: Arc<[u8]> = vec![0; LONG].into();
    for member in &set.members {
        let (to, pid) = (member.id().expect("it runs"), member.pid());
        let (head, body) = liar.update_for(to, &long);
        // The peak counts from here.
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("a peak of its own");
        let before = memory(pid, "VmHWM:");
        let snapshot = Some(SnapshotMeta { index: Index(u64::MAX), ..SnapshotMeta::default() });
        let message = Message { snapshot, ..Message::new(MessageKind::Snapshot, liar.me, to, Term(1)) };
        let sent = [
            liar.net.send_snapshot(to, message, long.clone()),
            liar.net.send_envelope(to, b"no header".to_vec(), BulkBody::Bytes(long.clone())),
            liar.net.send_envelope(to, head, BulkBody::Bytes(body.into())),
        ];
        for delivery in sent {
            assert!(!smol::block_on(delivery.taken()), "it was taken");
        }
        let most = memory(pid, "VmHWM:") - before;
        assert!(most <= MEMORY_KIB, "it took {most} KiB more");
        assert_eq!(std::fs::read_dir(member.file("spool")).expect("a spool").count(), 0);
        let dropped = member.status().expect("it runs").dropped;
        assert!(
            dropped.get(&DropReason::NotLeader) >= Some(&1) && dropped.get(&DropReason::Unwanted) >= Some(&2),
            "{dropped:?}"
        );
    }
}

#[test]
fn a_key_that_is_none_admits_nobody() {
    let folder = Folder::new();
    let set = folder.found("p1", &[]);
    let (text, peer) = set.token_for("agent", "1h");
    let token: Token = text.parse().expect("a token");
    let file = MemberFile::read(Path::new(&set.founder().dir)).expect("a member");
    let identity = Identity::from_secret_bytes(&[5; 32]);
    for rsa_public in [vec![0x30; 300], rsa_public_der(&[0xfe; 384]), rsa_public_der(&[0xff; 128])] {
        let statement = |exporter| {
            let (key, rsa_public) = (identity.key(), rsa_public.clone());
            let addresses = vec!["127.0.0.1:9".parse().expect("an address")];
            EnrolmentStatement { set: file.set(), key, rsa_public, addresses, exporter }
        };
        let reply = asks(&file, &peer, token.responder, |exporter| {
            let statement = statement(exporter);
            let bytes = statement.to_bytes();
            let (own_signature, token_signature) =
                (identity.sign(&bytes), token.signing_identity().sign(&bytes));
            Enrolment { token: token.id, statement, own_signature, token_signature }
        });
        let JoinReply::Refused { reason } = reply else { panic!("{reply:?}") };
        assert!(reason.contains("RSA public key") && reason.contains("nothing was changed"), "{reason}");
    }
    let dir = folder.path("friend");
    let words = ["join", &text, "--peer", &peer, "--listen", "127.0.0.1:0", "--dir", &dir];
    ok(&rafty(), &words);
    assert_eq!(set.founder().status().expect("it runs").node.members.len(), 2);
}

#[test]
fn what_a_member_signed_to_come_back_throws_nobody_out_once_it_is_back() {
    let folder = Folder::new();
    let set = folder.three(&[]);
    let (bob, eve) = (Liar::joins(&set, &folder.path("bob")), Liar::joins(&set, &folder.path("eve")));
    until("five members", || (set.founder().status()?.node.members.len() == 5).then_some(()));
    let (text, peer) = set.token_for("agent", "1h");
    let token: Token = text.parse().expect("a token");
    let rsa = RsaPublic::from_der(&bob.file.members.last().expect("himself").rsa_public).expect("a key");
    let returns = |exporter| {
        let addresses = bob.file.members.last().expect("himself").addresses.clone();
        re_enrol(&bob.identity, bob.me, &rsa, bob.file.set(), exporter, addresses)
    };
    // Bob asked Eve first, who kept what he signed.
    let kept = returns([9; 32]);
    let reply = asks(&bob.file, &peer, token.responder, returns);
    let JoinReply::Granted { member: back, .. } = reply else { panic!("{reply:?}") };
    assert_ne!(back, bob.me);
    let command = Box::new(Command::Control(ControlCommand::Enrol(kept)));
    let forward = Frame::Forward { request: 1, session: None, command };
    set.members.iter().for_each(|member| eve.net.send(member.id().expect("it runs"), &forward));
    let outcome = eve.hears("the leader's answer", |event| match event {
        NetEvent::Frame {
            frame: Frame::Forwarded { outcome: ForwardOutcome::Control(said, _), .. }, ..
        } => Some(said),
        _ => None,
    });
    assert_eq!(outcome, ControlResult::Rejected(Rejection::Renamed(back)));
    let members = set.founder().status().expect("it runs").node.members;
    assert!(members.iter().any(|member| member.id == back), "Bob is there");
}

/// What a member answers to a statement made by hand.
fn asks(
    file: &MemberFile,
    peer: &str,
    responder: [u8; 16],
    statement: impl FnOnce([u8; 32]) -> Enrolment,
) -> JoinReply {
    let executor = Arc::new(Executor::new());
    let peer = peer.parse().expect("an address");
    let asked = async {
        let reached = reach(&executor, file.cluster, &[peer], responder).await.expect("it is there");
        reached.ask(statement).await.expect("an answer")
    };
    smol::block_on(executor.run(asked))
}
