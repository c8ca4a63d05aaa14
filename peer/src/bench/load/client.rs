//! One client: what it asks next, and what an answer means. It sends nothing itself.

use super::{KEYS, Load};
use rafty_client::Value;
use rafty_types::SessionId;
use rafty_wire::client::{Address, Ask, Change, Consistency, Reply, decode_value};
use std::io;
use std::time::{Duration, Instant};

/// How often one request is sent until it counts, and the pause in between.
const MAX_TRIES: u32 = 200;
pub(super) const TRY_AGAIN: Duration = Duration::from_millis(20);
/// Lets neighbouring clients begin with keys far from each other.
const STRIDE: u32 = 7_919;

/// One client and what it has seen.
pub(super) struct Client<'a> {
    pub(super) load: &'a Load,
    /// The member it asks, `HOST:PORT`.
    pub(super) at: String,
    /// How many requests it has.
    own: u32,
    number: u16,
    value: Vec<u8>,
    asked: Instant,
    tries: u32,
    /// Of each answered request.
    pub(super) micros: Vec<u32>,
    pub(super) busy: Duration,
    pub(super) bytes: u64,
    pub(super) retries: u64,
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts.
    Counts,
    /// The same is to be asked elsewhere, where [`Client::at`] says.
    Elsewhere,
    /// The same is to be asked again, after [`TRY_AGAIN`].
    Later,
}

impl<'a> Client<'a> {
    pub(super) fn new(load: &'a Load, number: u16) -> io::Result<Self> {
        // Any member answers reads; changes are redirected to the leader.
        let at = load.members[usize::from(number) % load.members.len()].clone();
        let more = u32::from(u32::from(number) < load.requests % u32::from(load.clients));
        let own = load.requests / u32::from(load.clients) + more;
        let value = Value::encode("x".repeat(load.kind.size as usize).as_str()).map_err(io::Error::other)?;
        Ok(Self {
            load,
            at,
            own,
            number,
            value: value.bytes().to_vec(),
            asked: Instant::now(),
            tries: 0,
            micros: Vec::with_capacity(own as usize),
            busy: Duration::ZERO,
            bytes: 0,
            retries: 0,
        })
    }

    pub(super) fn is_done(&self) -> bool {
        self.micros.len() >= self.own as usize
    }

    /// How long the answer takes already.
    pub(super) fn waits(&self) -> Duration {
        self.asked.elapsed()
    }

    /// The next request, or the same once more.
    pub(super) fn ask(&mut self) -> Ask {
        let count = self.micros.len() as u32;
        let key = format!("k{}", u32::from(self.number).wrapping_mul(STRIDE).wrapping_add(count) % KEYS);
        if self.tries == 0 {
            self.asked = Instant::now();
            self.bytes += (key.len() + self.value.len()) as u64;
        }
        self.tries += 1;
        if self.load.kind.reads {
            Ask::get(Some(&key), Consistency::Linearizable)
        } else {
            let change = Change::Set { key, value: self.value.clone() };
            Ask::Append { change, session: None::<(SessionId, _)> }
        }
    }

    /// Judges an answer.
    pub(super) fn judge(&mut self, reply: &[u8]) -> io::Result<Verdict> {
        let verdict = if self.load.kind.reads && decode_value(reply).is_some() {
            Verdict::Counts
        } else {
            self.told(reply)
        };
        match verdict {
            Verdict::Counts => {
                self.micros.push(u32::try_from(self.asked.elapsed().as_micros()).unwrap_or(u32::MAX));
                self.tries = 0;
            }
            _ if self.tries >= MAX_TRIES => {
                return Err(io::Error::other(format!("not answered in {MAX_TRIES} tries")));
            }
            Verdict::Elsewhere => {}
            Verdict::Later => self.retries += 1,
        }
        Ok(verdict)
    }

    /// What a reply says that is no value.
    fn told(&mut self, reply: &[u8]) -> Verdict {
        match Reply::decode(reply) {
            Some(Reply::Result { success: true, .. }) => Verdict::Counts,
            Some(Reply::Redirect { leader: Address(host, port) }) => {
                self.at = format!("{host}:{port}");
                Verdict::Elsewhere
            }
            _ => Verdict::Later,
        }
    }
}
