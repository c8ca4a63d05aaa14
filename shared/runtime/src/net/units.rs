//! Whole units on QUIC streams: header first, then no more than it may declare.

use quinn::{ReadExactError, RecvStream, SendStream};
use rafty_wire::{HEADER_LEN, Head, Header, WireError, decode_head_body, encode_head};

/// A stream did not give a unit.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnitError {
    /// It ended, or its connection did.
    #[error("the stream ended")]
    Ended,
    /// It gave something else.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl From<ReadExactError> for UnitError {
    fn from(_: ReadExactError) -> Self {
        Self::Ended
    }
}

/// The next unit's header, and its body of at most `max` bytes.
pub(super) async fn read(stream: &mut RecvStream, max: usize) -> Result<(Header, Vec<u8>), UnitError> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).await?;
    let header = Header::decode(header, max)?;
    let mut body = vec![0; header.len];
    stream.read_exact(&mut body).await?;
    Ok((header, body))
}

/// The next unit, which must be an `H`.
pub(super) async fn read_head<H: Head>(stream: &mut RecvStream) -> Result<H, UnitError> {
    let (header, body) = read(stream, H::MAX_LEN).await?;
    Ok(decode_head_body(header, &body)?)
}

/// Writes `head`.
pub(super) async fn write_head<H: Head>(stream: &mut SendStream, head: &H) -> Result<(), UnitError> {
    let unit = encode_head(head)?;
    stream.write_all(&unit).await.map_err(|_| UnitError::Ended)
}
