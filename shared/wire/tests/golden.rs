//! Pins every unit as bytes: a peer of today must understand a peer of tomorrow.
//!
//! `golden.txt` holds one line per sample: its name and its bytes. A line may be added; none may change.

mod samples;

use rafty_wire::{
    BulkHead, BulkReply, Decoded, Head, JoinReply, JoinRequest, decode_frame, decode_head, encode_frame,
    encode_head,
};

const GOLDEN: &str = include_str!("golden.txt");

fn line(name: &str, bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name} {hex}\n")
}

fn head<H: Head + PartialEq + std::fmt::Debug>(name: &str, head: &H) -> String {
    let bytes = encode_head(head).unwrap();
    assert_eq!(decode_head::<H>(&bytes).as_ref(), Ok(head), "{name}");
    line(name, &bytes)
}

#[test]
fn every_unit_is_written_and_read_as_it_was_pinned() {
    let mut written = String::new();
    for (name, frame) in samples::frames() {
        let bytes = encode_frame(&frame).unwrap();
        written += &line(name, &bytes);
        assert_eq!(decode_frame(&bytes), Ok(Decoded::Frame(frame)), "{name}");
    }
    written += &head::<BulkHead>("bulk-envelope", &samples::envelope());
    written += &head::<BulkHead>("bulk-snapshot-chunk", &samples::snapshot_chunk());
    written += &head::<BulkHead>("bulk-long-envelope", &samples::long_envelope());
    written += &head::<BulkReply>("bulk-taken", &BulkReply::Accepted);
    written += &head::<BulkReply>("bulk-refused", &BulkReply::Refused);
    written += &head::<BulkReply>("bulk-taken-up-to", &BulkReply::TakenUpTo(3 * 1024 * 1024));
    written += &head::<JoinRequest>("join-request", &samples::join_request());
    written += &head::<JoinReply>("join-granted", &samples::join_granted());
    written += &head::<JoinReply>("join-refused", &JoinReply::Refused { reason: "no".into() });
    let epoch = rafty_types::Epoch::first(rafty_types::ClusterId([1; 16])).recovered([2; 16]);
    written += &head::<JoinReply>("join-other-epoch", &JoinReply::OtherEpoch { epoch });
    written += &head::<JoinReply>("join-renamed", &JoinReply::Renamed { member: rafty_types::MemberId(9) });
    assert!(written == GOLDEN, "the wire format changed; written now:\n{written}");
}

#[test]
fn the_type_byte_is_the_first_byte_of_the_body() {
    for (name, frame) in samples::frames() {
        let bytes = encode_frame(&frame).unwrap();
        assert_eq!(bytes[3], bytes[8], "{name}");
    }
}
