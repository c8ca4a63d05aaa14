//! What comes over a connection between members: datagrams, frames, heads of bulk streams, and the messages of a join.

use crate::bounded;
use rafty_types::{Frame, Message, Payload};
use rafty_wire::{
    BulkHead, BulkReply, Decoded, HEADER_LEN, Head, Header, JoinReply, JoinRequest, MAX_BULK_LEN,
    MAX_CHUNK_LEN, MAX_ENVELOPE_HEADER_LEN, MAX_FRAME_LEN, MAX_SNAPSHOT_LEN, Newest, decode_frame,
    decode_frame_body, decode_head, decode_head_body, encode_frame, encode_head, open_datagram,
};
use std::fmt::Debug;

/// `MAX_FRAME_LEN` says that tiny entries take some thirty times their bytes; a growing list is there twice.
const FACTOR: usize = 100;

/// The bytes as a datagram, as a unit, and as the body of each unit, behind a header that fits.
pub fn unit(bytes: &[u8]) {
    bounded(bytes.len(), FACTOR, || {
        if let Ok((stamp, frame)) = open_datagram(bytes) {
            let mut newest = Newest::default();
            assert_eq!(newest.is_fresh(stamp), stamp > 0);
            assert!(!newest.is_fresh(stamp), "each datagram is fresh at most once");
            frame_of(decode_frame(frame));
        }
        frame_of(decode_frame(bytes));
        if let Some(kind) = bytes.first() {
            let header = Header { kind: *kind, len: bytes.len() };
            frame_of(decode_frame_body(header, bytes));
        }
        head::<BulkHead>(bytes).iter().for_each(check_bulk);
        head::<BulkReply>(bytes);
        head::<JoinRequest>(bytes);
        head::<JoinReply>(bytes);
    });
}

fn frame_of(decoded: Result<Decoded, rafty_wire::WireError>) {
    let Ok(Decoded::Frame(frame)) = decoded else { return };
    let bytes = encode_frame(&frame).expect("what was read is within the bound");
    assert!(bytes.len() <= HEADER_LEN + MAX_FRAME_LEN);
    if let Frame::Raft(message) = &frame {
        check_lengths(message);
    }
    assert_eq!(decode_frame(&bytes), Ok(Decoded::Frame(frame)));
}

/// What counts against limits on messages is what is there.
fn check_lengths(message: &Message) {
    for entry in &message.entries {
        let is_empty = match &entry.payload {
            Payload::Empty => true,
            Payload::Command(bytes) => bytes.is_empty(),
            Payload::Membership(change) => change.steps.is_empty(),
        };
        assert_eq!(entry.payload.is_empty(), is_empty);
    }
}

fn head<H: Head + PartialEq + Debug>(bytes: &[u8]) -> Option<H> {
    let header = Header { kind: H::KIND, len: bytes.len() };
    let found = decode_head::<H>(bytes).or_else(|_| decode_head_body(header, bytes)).ok()?;
    assert!(found.is_within_bounds());
    // A body that was longer than allowed was only read because no header came before it.
    if let Ok(again) = encode_head(&found) {
        assert_eq!(decode_head::<H>(&again).as_ref(), Ok(&found));
    }
    Some(found)
}

fn check_bulk(head: &BulkHead) {
    match head {
        BulkHead::Envelope { header, body_len } | BulkHead::LongEnvelope { header, body_len } => {
            assert!(header.len() <= MAX_ENVELOPE_HEADER_LEN && *body_len <= MAX_BULK_LEN);
        }
        BulkHead::SnapshotChunk { offset, len, total, .. } => {
            assert!(*len <= MAX_CHUNK_LEN && *total <= MAX_SNAPSHOT_LEN && *len <= total - offset);
        }
    }
    assert!(head.body_len() <= MAX_BULK_LEN);
}
