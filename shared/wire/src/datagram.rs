//! Frames in datagrams: stamped, so that none is taken twice or late.

use crate::header::WireError;

/// Longest datagram in bytes, stamp and frame: what one Ethernet frame holds. The path usually allows less.
pub const MAX_DATAGRAM_LEN: usize = 1_500;
/// Bytes of the stamp before the frame.
pub const STAMP_LEN: usize = 8;

/// Numbers the datagrams of one connection, from 1.
#[derive(Debug, Default)]
pub struct Stamp(u64);

impl Stamp {
    /// The next datagram: `frame` (as [`encode_frame`](crate::encode_frame) wrote it) behind its number.
    pub fn seal(&mut self, frame: &[u8]) -> Vec<u8> {
        self.0 += 1;
        let mut datagram = Vec::with_capacity(STAMP_LEN + frame.len());
        datagram.extend_from_slice(&self.0.to_be_bytes());
        datagram.extend_from_slice(frame);
        datagram
    }
}

/// The number of a datagram and the frame bytes in it.
///
/// # Errors
/// [`WireError::Truncated`] without a whole stamp, [`WireError::TooLong`] beyond [`MAX_DATAGRAM_LEN`].
pub fn open_datagram(bytes: &[u8]) -> Result<(u64, &[u8]), WireError> {
    if bytes.len() > MAX_DATAGRAM_LEN {
        return Err(WireError::TooLong { len: bytes.len(), max: MAX_DATAGRAM_LEN });
    }
    let (stamp, frame) = bytes.split_first_chunk().ok_or(WireError::Truncated)?;
    Ok((u64::from_be_bytes(*stamp), frame))
}

/// The newest number seen on one connection.
#[derive(Debug, Default)]
pub struct Newest(u64);

impl Newest {
    /// Whether a datagram numbered `stamp` is newer than all before it. Each is fresh at most once.
    pub fn is_fresh(&mut self, stamp: u64) -> bool {
        let fresh = stamp > self.0;
        self.0 = self.0.max(stamp);
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_taken_once_and_never_late() {
        let mut stamp = Stamp::default();
        let sealed: Vec<_> = (0..4u8).map(|n| stamp.seal(&[n])).collect();
        let mut newest = Newest::default();
        let mut taken = vec![];
        for which in [0, 0, 2, 1, 3, 2] {
            let (number, frame) = open_datagram(&sealed[which]).unwrap();
            if newest.is_fresh(number) {
                taken.push(frame[0]);
            }
        }
        assert_eq!(taken, [0, 2, 3]);
    }

    #[test]
    fn a_datagram_without_a_stamp_or_too_long_is_refused() {
        assert_eq!(open_datagram(&[1; STAMP_LEN - 1]), Err(WireError::Truncated));
        let long = [0; MAX_DATAGRAM_LEN + 1];
        let error = WireError::TooLong { len: long.len(), max: MAX_DATAGRAM_LEN };
        assert_eq!(open_datagram(&long), Err(error));
    }
}
