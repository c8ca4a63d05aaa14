//! From bytes in whatever pieces they arrive to requests.

use super::MAX_REQUEST_LEN;
use super::request::{ErrorCode, Request, RequestError};
use super::scanner::{ScanError, Scanner};

/// What may stay allocated between two requests, in bytes.
const IDLE_CAPACITY: usize = 16 * 1024;

/// Reads one client's requests. It holds the bytes of the request under way and, while one is decoded, at most as much
/// again.
#[derive(Debug)]
pub struct Parser {
    buffer: Vec<u8>,
    /// Where the request under way begins, and how far it has been scanned.
    start: usize,
    scanned: usize,
    scanner: Scanner,
}

impl Default for Parser {
    fn default() -> Self {
        Self { buffer: Vec::new(), start: 0, scanned: 0, scanner: Scanner::new(MAX_REQUEST_LEN) }
    }
}

impl Parser {
    /// Takes bytes in. Ask for the requests in them before more is fed.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole request; `None` until more bytes are fed.
    ///
    /// # Errors
    /// When what arrived is no request. Unless the error says [`keep`](RequestError::keep), nothing that follows can be
    /// understood.
    pub fn next_request(&mut self) -> Result<Option<Request>, RequestError> {
        let fresh = &self.buffer[self.scanned..];
        let Some(taken) = self.scanner.feed(fresh).map_err(not_a_value)? else {
            self.scanned = self.buffer.len();
            self.tidy();
            return Ok(None);
        };
        let (start, end) = (self.start, self.scanned + taken);
        self.start = end;
        self.scanned = end;
        self.scanner = Scanner::new(MAX_REQUEST_LEN);
        Request::decode(&self.buffer[start..end]).map(Some)
    }

    /// Bytes of a request that is not whole yet.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Forgets the requests that were handed out.
    fn tidy(&mut self) {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        if self.buffer.is_empty() {
            self.buffer.shrink_to(IDLE_CAPACITY);
        }
    }
}

fn not_a_value(error: ScanError) -> RequestError {
    let code = match error {
        ScanError::TooLong(_) => ErrorCode::TooLong,
        ScanError::TooDeep => ErrorCode::TooDeep,
        ScanError::NoMarker => ErrorCode::Malformed,
    };
    RequestError::new(code, format!("the request cannot be read: {error}"))
}
