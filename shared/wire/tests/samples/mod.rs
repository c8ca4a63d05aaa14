//! One value of every unit.

use rafty_types::*;
use rafty_wire::{BulkHead, JoinReply, JoinRequest};
use std::time::Duration;

pub(crate) fn message(kind: MessageKind) -> Message {
    Message {
        kind,
        to: MemberId(2),
        from: MemberId(1),
        term: Term(3),
        log_term: Term(2),
        index: Index(300),
        entries: vec![],
        commit: Index(299),
        commit_term: Term(2),
        snapshot: None,
        request_snapshot: Index(0),
        reject: false,
        reject_hint: Index(0),
        context: vec![],
        priority: 0,
    }
}

fn append() -> Message {
    let steps = vec![
        MembershipStep::AddVoter(MemberId(1)),
        MembershipStep::AddLearner(MemberId(2)),
        MembershipStep::Remove(MemberId(3)),
    ];
    let payloads =
        [Payload::Empty, Payload::Command([1, 2, 3].into()), Payload::Membership(MembershipChange { steps })];
    let entries = (301..)
        .zip(payloads)
        .map(|(index, payload)| Entry { index: Index(index), term: Term(3), payload })
        .collect();
    Message { entries, ..message(MessageKind::Append) }
}

fn snapshot() -> Message {
    let membership = Membership {
        voters: vec![MemberId(1), MemberId(2)],
        learners: vec![MemberId(3)],
        voters_outgoing: vec![MemberId(1)],
        learners_next: vec![],
    };
    let meta = SnapshotMeta { index: Index(300), term: Term(2), membership };
    Message { snapshot: Some(meta), ..message(MessageKind::Snapshot) }
}

fn refusal() -> Message {
    let (reject_hint, request_snapshot) = (Index(7), Index(8));
    let context = vec![9, 9];
    Message {
        reject: true,
        reject_hint,
        request_snapshot,
        context,
        priority: -1,
        ..message(MessageKind::AppendResponse)
    }
}

pub(crate) fn frames() -> Vec<(&'static str, Frame)> {
    let run = RunId(5);
    let model = Digest([7; 32]);
    let (round, attempt, version) = (Round(4), Attempt(2), Version(3));
    vec![
        ("raft-heartbeat", Frame::Raft(Box::new(message(MessageKind::Heartbeat)))),
        ("raft-read-index-response", Frame::Raft(Box::new(message(MessageKind::ReadIndexResponse)))),
        ("raft-append", Frame::Raft(Box::new(append()))),
        ("raft-append-refused", Frame::Raft(Box::new(refusal()))),
        ("raft-snapshot", Frame::Raft(Box::new(snapshot()))),
        (
            "forward-user",
            Frame::Forward { request: 1, session: None, command: Box::new(Command::User(vec![1, 2])) },
        ),
        ("forward-control", forward_control()),
        ("forwarded-control", forwarded(ForwardOutcome::Control(ControlResult::Done, Index(9)))),
        ("forwarded-rejected", forwarded(rejected())),
        ("forwarded-user", forwarded(ForwardOutcome::User(vec![1], Index(9)))),
        ("forwarded-not-leader", forwarded(ForwardOutcome::NotLeader(Some(MemberId(3))))),
        ("forwarded-dropped", forwarded(ForwardOutcome::Dropped)),
        ("forwarded-unknown", forwarded(ForwardOutcome::Unknown)),
        ("announce", Frame::Announce { run, version, model }),
        ("fetch-model", Frame::FetchModel { run, version, model }),
        ("holds", Frame::Holds { model }),
        ("progress-no-data", Frame::Progress { run, round, progress: Progress::NoData }),
        ("progress-training", Frame::Progress { run, round, progress: Progress::Training(6000) }),
        ("progress-sending", Frame::Progress { run, round, progress: Progress::Sending }),
        ("progress-failed", Frame::Progress { run, round, progress: Progress::Failed }),
        ("progress-resting", resting(run, round)),
        ("verdict-accepted", verdict(run, round, attempt, Verdict::Accepted)),
        ("verdict-refused", verdict(run, round, attempt, Verdict::Refused(Refusal::WrongBase))),
        ("transfer", Frame::Transfer { to: MemberId(3) }),
        ("ask-roster", Frame::AskRoster { known: Index(9) }),
        ("ask-voters", Frame::AskVoters),
        ("voters", Frame::Voters { index: Index(12), term: Term(5), voters: vec![MemberId(1), MemberId(3)] }),
        ("roster", Frame::Roster { index: Index(12), members: vec![member()] }),
        ("hello", Frame::Hello(hello())),
        ("hello-answer", Frame::HelloAnswer(hello_answer())),
        (
            "state-digest",
            Frame::StateDigest(StateDigest {
                mark: Index(9),
                digest: model,
                signature: Signature::from_bytes(&[8; 64]),
            }),
        ),
        ("disk-trouble", Frame::DiskTrouble { why: Some("Read-only file system".into()) }),
        ("disk-works", Frame::DiskTrouble { why: None }),
        ("forward-issued", forward_issued()),
        ("forward-for-client", forward_for_client()),
    ]
}

fn hello() -> Hello {
    Hello {
        holds: Index(301),
        votes_alone: true,
        wall_ms: 1_700_000_000_000,
        name: Some("pi.local:7400".into()),
        patient: true,
        member: MemberId(1),
        starts: vec![Incarnation { number: 7, nonce: 70 }, Incarnation { number: 9, nonce: 1 << 40 }],
        term: Term(3),
        last: Index(300),
        suspected: true,
        outdated: false,
        at: Some("192.0.2.1:7400".parse().unwrap()),
        heard: Some(HelloStamp { nonce: 5, ms: 6_000 }),
    }
}

fn hello_answer() -> HelloAnswer {
    HelloAnswer {
        nonce: 1 << 40,
        stamp: HelloStamp { nonce: 5, ms: 7_000 },
        counts: true,
        twice: Some("[2001:db8::1]:7400".parse().unwrap()),
    }
}

fn forward_control() -> Frame {
    let session = Some((SessionId(9), Serial(2)));
    let command = Command::Control(ControlCommand::Revoke { member: MemberId(4) });
    Frame::Forward { request: 2, session, command: Box::new(command) }
}

fn forward_issued() -> Frame {
    let serial = IssueSerial { incarnation: 5, count: 2 };
    let signature = Signature::from_bytes(&[8; 64]);
    let issue = Issue { by: MemberId(3), serial, seen: Index(9), seen_ms: 300, signature };
    let command = ControlCommand::Revoke { member: MemberId(4) };
    Frame::ForwardIssued { request: 2, session: None, issue: Box::new(issue), command: Box::new(command) }
}

fn forward_for_client() -> Frame {
    let session = Some((SessionId(9), Serial(2)));
    let command = Box::new(Command::User(vec![1, 2]));
    Frame::ForwardForClient { request: 2, client: [7; 16], session, command }
}

fn forwarded(outcome: ForwardOutcome) -> Frame {
    Frame::Forwarded { request: 2, outcome }
}

fn rejected() -> ForwardOutcome {
    ForwardOutcome::Control(ControlResult::Rejected(Rejection::Invalid("name".into())), Index(9))
}

fn resting(run: RunId, round: Round) -> Frame {
    let rest = Rest { cause: RestCause::DiskFull, reason: "no space".into(), for_ms: 60_000 };
    Frame::Progress { run, round, progress: Progress::Resting(rest) }
}

fn verdict(run: RunId, round: Round, attempt: Attempt, verdict: Verdict) -> Frame {
    Frame::Verdict { tenure: Tenure(8), run, round, attempt, digest: Digest([1; 32]), verdict }
}

pub(crate) fn envelope() -> BulkHead {
    BulkHead::Envelope { header: vec![1, 2, 3], body_len: 40_000_000 }
}

pub(crate) fn long_envelope() -> BulkHead {
    BulkHead::LongEnvelope { header: vec![1, 2, 3], body_len: 40_000_000 }
}

pub(crate) fn snapshot_chunk() -> BulkHead {
    let (offset, len, total) = (1 << 20, 1 << 20, 5 << 20);
    BulkHead::SnapshotChunk { message: Box::new(snapshot()), offset, len, total, digest: Digest([3; 32]) }
}

pub(crate) fn join_request() -> JoinRequest {
    let statement = EnrolmentStatement {
        set: rafty_types::SetId::first(ClusterId([1; 16])),
        key: PeerKey([2; 32]),
        rsa_public: vec![3; 4],
        addresses: vec!["192.0.2.1:7400".parse().unwrap(), "[2001:db8::1]:7400".parse().unwrap()],
        exporter: [4; 32],
    };
    let signature = Signature::from_bytes(&[5; 64]);
    let enrolment =
        Enrolment { token: [6; 16], statement, own_signature: signature, token_signature: signature };
    JoinRequest { enrolment }
}

/// Spelt out: the defaults may change, the pinned bytes may not.
fn settings() -> Settings {
    Settings {
        heartbeat: Duration::from_millis(40),
        election_min: Duration::from_millis(150),
        election_max: Duration::from_millis(300),
        target_voters: 7,
        max_members: 15,
        tenure: Duration::from_secs(600),
        grace: Duration::from_secs(60),
        replace_after: Duration::from_secs(120),
        compact_after: 60,
        tail: 1_000,
        append_batch: 100,
        first_deadline: Duration::from_secs(120),
        quorum_percent: 60,
        announce_every: Duration::from_secs(10),
        broadcast_members: 16,
    }
}

fn member() -> Member {
    Member {
        id: MemberId(1),
        key: PeerKey([2; 32]),
        rsa_public: vec![3; 4],
        role: MemberKind::Agent,
        may_lead: true,
        addresses: vec!["192.0.2.1:7400".parse().unwrap()],
        seat: false,
        tenures: 2,
    }
}

pub(crate) fn join_granted() -> JoinReply {
    JoinReply::Granted {
        member: MemberId(12),
        cluster: ClusterId([1; 16]),
        name: "home".into(),
        settings: settings(),
        members: vec![member()],
    }
}
