//! Bytes between peers, and back; and those between a client and a peer.
//!
//! Everything on a peer connection is one *unit*: a [`Header`] (magic, version, type, length) and a postcard body.
//! [`Frame`](rafty_types::Frame)s are units whose type is the frame's variant; the [`Head`]s of bulk streams and the
//! messages of a join are units too. A frame that fits goes as a datagram, behind a [`Stamp`] that lets the receiver
//! drop what is duplicated or late.
//!
//! Lengths are checked before a body is read, types before it is decoded, and no byte may be left over. A type that
//! this version does not know is reported as such, so that it can be counted and skipped.
//!
//! What clients of the dictionary say over TCP is in [`client`]: MessagePack, and none of the above.
//!
//! Nothing here opens a socket, judges what a frame says or knows who sent it.

pub mod client;
mod datagram;
mod frame;
mod head;
mod header;

pub use datagram::{MAX_DATAGRAM_LEN, Newest, STAMP_LEN, Stamp, open_datagram};
pub use frame::{Decoded, MAX_FRAME_LEN, decode_frame, decode_frame_body, encode_frame};
pub use head::{
    BulkHead, BulkReply, Head, JoinReply, JoinRequest, MAX_BULK_LEN, MAX_CHUNK_LEN, MAX_ENVELOPE_HEADER_LEN,
    MAX_SNAPSHOT_LEN, decode_head, decode_head_body, encode_head,
};
pub use header::{HEADER_LEN, Header, WireError};
