//! What holds for all values and all bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Strategy;
use rafty_types::*;
use rafty_wire::*;

fn id() -> impl Strategy<Value = MemberId> {
    any::<u64>().prop_map(MemberId)
}

fn kind() -> impl Strategy<Value = MessageKind> {
    use MessageKind::*;
    prop::sample::select(vec![
        Append,
        AppendResponse,
        RequestVote,
        RequestVoteResponse,
        RequestPreVote,
        RequestPreVoteResponse,
        Snapshot,
        Heartbeat,
        HeartbeatResponse,
        TransferLeader,
        TimeoutNow,
        ReadIndex,
        ReadIndexResponse,
    ])
}

fn payload() -> impl Strategy<Value = Payload> {
    let step = prop_oneof![
        id().prop_map(MembershipStep::AddVoter),
        id().prop_map(MembershipStep::AddLearner),
        id().prop_map(MembershipStep::Remove),
    ];
    prop_oneof![
        Just(Payload::Empty),
        vec(any::<u8>(), 0..200).prop_map(|bytes| Payload::Command(bytes.into())),
        vec(step, 0..5).prop_map(|steps| Payload::Membership(MembershipChange { steps })),
    ]
}

fn snapshot() -> impl Strategy<Value = Option<SnapshotMeta>> {
    let meta = (any::<u64>(), any::<u64>(), vec(id(), 0..5), vec(id(), 0..5)).prop_map(
        |(index, term, voters, learners)| {
            let membership = Membership { voters, learners, ..Membership::default() };
            SnapshotMeta { index: Index(index), term: Term(term), membership }
        },
    );
    prop::option::of(meta)
}

fn message() -> impl Strategy<Value = Message> {
    let entry = (any::<u64>(), any::<u64>(), payload()).prop_map(|(index, term, payload)| Entry {
        index: Index(index),
        term: Term(term),
        payload,
    });
    let numbers = prop::array::uniform8(any::<u64>());
    let rest = (any::<bool>(), vec(any::<u8>(), 0..40), any::<i64>(), snapshot());
    (kind(), id(), id(), numbers, vec(entry, 0..8), rest).prop_map(
        |(kind, to, from, n, entries, (reject, context, priority, snapshot))| Message {
            kind,
            to,
            from,
            term: Term(n[0]),
            log_term: Term(n[1]),
            index: Index(n[2]),
            entries,
            commit: Index(n[3]),
            commit_term: Term(n[4]),
            snapshot,
            request_snapshot: Index(n[5]),
            reject,
            reject_hint: Index(n[6]),
            context,
            priority,
        },
    )
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        message().prop_map(|message| Frame::Raft(Box::new(message))),
        (any::<u64>(), vec(any::<u8>(), 0..300)).prop_map(|(request, bytes)| Frame::Forward {
            request,
            session: Some((SessionId(request), Serial(1))),
            command: Box::new(Command::User(bytes)),
        }),
        (any::<u64>(), any::<u64>(), digest()).prop_map(|(run, version, model)| Frame::Announce {
            run: RunId(run),
            version: Version(version),
            model,
        }),
        (any::<u64>(), any::<u64>(), digest()).prop_map(|(run, version, model)| Frame::FetchModel {
            run: RunId(run),
            version: Version(version),
            model,
        }),
        digest().prop_map(|model| Frame::Holds { model }),
        (any::<u64>(), outcome()).prop_map(|(request, outcome)| Frame::Forwarded { request, outcome }),
        (any::<u64>(), any::<u64>(), progress()).prop_map(|(run, round, progress)| Frame::Progress {
            run: RunId(run),
            round: Round(round),
            progress,
        }),
        (any::<[u64; 4]>(), digest(), verdict()).prop_map(|(n, digest, verdict)| Frame::Verdict {
            tenure: Tenure(n[0]),
            run: RunId(n[1]),
            round: Round(n[2]),
            attempt: Attempt(n[3]),
            digest,
            verdict,
        }),
        id().prop_map(|to| Frame::Transfer { to }),
        Just(Frame::AskVoters),
        (any::<u64>(), any::<u64>(), vec(any::<u64>(), 0..5)).prop_map(|(index, term, voters)| {
            Frame::Voters {
                index: Index(index),
                term: Term(term),
                voters: voters.into_iter().map(MemberId).collect(),
            }
        }),
        any::<u64>().prop_map(|known| Frame::AskRoster { known: Index(known) }),
    ]
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn outcome() -> impl Strategy<Value = ForwardOutcome> {
    let rejected = "\\PC{0,40}".prop_map(|why| ControlResult::Rejected(Rejection::Invalid(why)));
    let result = prop_oneof![Just(ControlResult::Done), rejected];
    prop_oneof![
        (result, any::<u64>()).prop_map(|(result, at)| ForwardOutcome::Control(result, Index(at))),
        (vec(any::<u8>(), 0..40), any::<u64>())
            .prop_map(|(bytes, at)| ForwardOutcome::User(bytes, Index(at))),
        prop::option::of(id()).prop_map(ForwardOutcome::NotLeader),
        Just(ForwardOutcome::Dropped),
        Just(ForwardOutcome::Unknown),
    ]
}

fn progress() -> impl Strategy<Value = Progress> {
    prop_oneof![
        Just(Progress::NoData),
        any::<u64>().prop_map(Progress::Training),
        Just(Progress::Sending),
        Just(Progress::Failed),
        ("\\PC{0,40}", any::<u64>()).prop_map(|(reason, for_ms)| {
            Progress::Resting(rafty_types::Rest { cause: rafty_types::RestCause::Data, reason, for_ms })
        }),
    ]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    use Refusal::*;
    let why = vec![NotAuthentic, Malformed, WrongShape, NotFinite, OverNorm, BadWeight, WrongBase];
    prop_oneof![Just(Verdict::Accepted), prop::sample::select(why).prop_map(Verdict::Refused)]
}

fn bulk() -> impl Strategy<Value = BulkHead> {
    let chunk = (message(), 0..=MAX_CHUNK_LEN, 0..=MAX_SNAPSHOT_LEN - MAX_CHUNK_LEN, digest()).prop_map(
        |(message, len, offset, digest)| BulkHead::SnapshotChunk {
            message: Box::new(message),
            offset,
            len,
            total: offset + len,
            digest,
        },
    );
    let envelope = (vec(any::<u8>(), 0..300), 0..=MAX_BULK_LEN)
        .prop_map(|(header, body_len)| BulkHead::Envelope { header, body_len });
    prop_oneof![chunk, envelope]
}

fn address() -> impl Strategy<Value = std::net::SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(Into::into)
}

fn join_request() -> impl Strategy<Value = JoinRequest> {
    let statement = (any::<[u8; 16]>(), any::<[u8; 32]>(), vec(any::<u8>(), 0..600), vec(address(), 0..8));
    (statement, any::<[u8; 32]>(), vec(any::<u8>(), 64..65)).prop_map(
        |((cluster, key, rsa_public, addresses), exporter, signature)| {
            let statement = EnrolmentStatement {
                set: rafty_types::SetId::first(ClusterId(cluster)),
                key: PeerKey(key),
                rsa_public,
                addresses,
                exporter,
            };
            let own_signature = Signature::from_bytes(signature.first_chunk().unwrap());
            let token_signature = Signature::default();
            JoinRequest { enrolment: Enrolment { token: cluster, statement, own_signature, token_signature } }
        },
    )
}

/// A head is read as it was written, and refused when it is cut, has a tail or is of another type.
fn comes_back<H: Head + PartialEq + std::fmt::Debug>(
    head: &H,
    cut: &prop::sample::Index,
) -> Result<(), TestCaseError> {
    let mut bytes = encode_head(head).unwrap();
    let found = decode_head::<H>(&bytes);
    prop_assert_eq!(found.as_ref(), Ok(head));
    prop_assert_eq!(decode_head::<H>(&bytes[..cut.index(bytes.len())]).err(), Some(WireError::Truncated));
    bytes.push(0);
    prop_assert_eq!(decode_head::<H>(&bytes).err(), Some(WireError::Trailing));
    bytes.pop();
    bytes[3] = bytes[3].wrapping_add(1);
    prop_assert!(decode_head::<H>(&bytes).is_err(), "of another type");
    Ok(())
}

proptest! {
    #[test]
    fn a_frame_comes_back_as_it_went(frame in frame()) {
        let bytes = encode_frame(&frame).unwrap();
        prop_assert_eq!(decode_frame(&bytes), Ok(Decoded::Frame(frame)));
    }

    #[test]
    fn a_head_comes_back_as_it_went(bulk in bulk(), join in join_request(), cut in any::<prop::sample::Index>()) {
        comes_back(&bulk, &cut)?;
        comes_back(&join, &cut)?;
        comes_back(&BulkReply::TakenUpTo(bulk.body_len()), &cut)?;
    }

    #[test]
    fn a_frame_cut_short_or_with_a_tail_is_refused(frame in frame(), cut in any::<prop::sample::Index>()) {
        let mut bytes = encode_frame(&frame).unwrap();
        prop_assert_eq!(decode_frame(&bytes[..cut.index(bytes.len())]), Err(WireError::Truncated));
        bytes.push(0);
        prop_assert_eq!(decode_frame(&bytes), Err(WireError::Trailing));
    }

    #[test]
    fn a_longer_declared_body_with_a_tail_is_refused(frame in frame()) {
        let mut bytes = encode_frame(&frame).unwrap();
        bytes.push(0);
        let len = u32::try_from(bytes.len() - HEADER_LEN).unwrap();
        bytes[4..8].copy_from_slice(&len.to_be_bytes());
        prop_assert_eq!(decode_frame(&bytes), Err(WireError::Trailing));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..600), kind in 0u8..16) {
        let _ = (decode_frame(&bytes), open_datagram(&bytes));
        let _ = (decode_head::<BulkHead>(&bytes), decode_head::<JoinRequest>(&bytes));
        let _ = (decode_head::<JoinReply>(&bytes), decode_head::<BulkReply>(&bytes));
        let header = Header { kind, len: bytes.len() };
        if let Ok(Decoded::Frame(frame)) = decode_frame_body(header, &bytes) {
            let again = encode_frame(&frame).unwrap();
            prop_assert_eq!(decode_frame(&again), Ok(Decoded::Frame(frame)));
        }
        let _ = decode_head_body::<BulkHead>(Header { kind: BulkHead::KIND, ..header }, &bytes);
        let _ = decode_head_body::<JoinRequest>(Header { kind: JoinRequest::KIND, ..header }, &bytes);
        let _ = decode_head_body::<JoinReply>(Header { kind: JoinReply::KIND, ..header }, &bytes);
    }

    #[test]
    fn a_flipped_bit_never_panics(frame in frame(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = encode_frame(&frame).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let _ = decode_frame(&bytes);
    }
}

#[test]
fn a_length_over_the_bound_is_refused_before_its_body_is_looked_at() {
    let len = MAX_FRAME_LEN + 1;
    let header = Header { kind: 0, len }.encode();
    assert_eq!(Header::decode(header, MAX_FRAME_LEN), Err(WireError::TooLong { len, max: MAX_FRAME_LEN }));
}

#[test]
fn a_frame_over_the_bound_is_not_written() {
    let command = Command::User(vec![0; MAX_FRAME_LEN]);
    let frame = Frame::Forward { request: 0, session: None, command: Box::new(command) };
    assert!(matches!(encode_frame(&frame), Err(WireError::TooLong { .. })));
}

#[test]
fn a_frame_of_a_newer_version_is_told_apart_from_a_broken_one() {
    let mut bytes = encode_frame(&Frame::Transfer { to: MemberId(1) }).unwrap();
    bytes[3] = 99;
    assert_eq!(decode_frame(&bytes), Ok(Decoded::Unknown(99)));
    bytes[3] = 0;
    assert!(decode_frame(&bytes).is_err());
    bytes[2] = 2;
    assert_eq!(decode_frame(&bytes), Err(WireError::Version(2)));
    bytes[0] = 0;
    assert_eq!(decode_frame(&bytes), Err(WireError::Magic));
}

#[test]
fn a_head_that_declares_too_much_is_refused_on_both_sides() {
    let over = BulkHead::Envelope { header: vec![], body_len: MAX_BULK_LEN + 1 };
    assert_eq!(encode_head(&over), Err(WireError::Malformed));
    let mut bytes = encode_head(&BulkHead::Envelope { header: vec![], body_len: MAX_BULK_LEN }).unwrap();
    let last = bytes.len() - 1;
    bytes[last] += 1;
    assert_eq!(decode_head::<BulkHead>(&bytes), Err(WireError::Malformed));
}
