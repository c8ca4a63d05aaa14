//! Any request to any member, until it is answered or was tried often enough.

use crate::course::{Course, Limits};
use crate::exchange::{Failure, exchange};
use crate::members::Members;
use crate::secure::Secure;
use crate::verdict::{Verdict, failed, judge};
use crate::{ClientError, Value, address};
use rafty_wire::client::{
    Address, Ask, Change, ConfigAction, Consistency, Diagnostic, MAX_TIMEOUT, Reply, Request, decode_answer,
    decode_entries, decode_value,
};
use smol::Timer;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Refusals that say nothing about a try before: the session that knew is gone.
const FORGETFUL: &[&str] = &["unknown_session", "forgotten_serial"];

/// Everything a dictionary holds, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Where the members are.
    pub cluster: Vec<Address>,
    /// The entries.
    pub entries: BTreeMap<String, Value>,
}

/// A client of a peer set. It may be shared: requests do not wait for each other.
#[derive(Debug)]
pub struct ClusterClient {
    limits: Limits,
    secure: Option<Secure>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    members: Members,
    rng: fastrand::Rng,
}

impl ClusterClient {
    /// A client that knows these members, each as `HOST:PORT`. Nothing is asked yet.
    ///
    /// # Errors
    /// [`ClientError::BadAddress`], [`ClientError::NoAddress`].
    pub fn new(addresses: impl IntoIterator<Item: AsRef<str>>) -> Result<Self, ClientError> {
        Self::with_limits(addresses, Limits::default())
    }

    /// The same, with other limits.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_limits(
        addresses: impl IntoIterator<Item: AsRef<str>>,
        limits: Limits,
    ) -> Result<Self, ClientError> {
        let given: Vec<_> =
            addresses.into_iter().map(|text| address::parse(text.as_ref())).collect::<Result<_, _>>()?;
        if given.is_empty() {
            return Err(ClientError::NoAddress);
        }
        let known = Known { members: Members::new(given), rng: fastrand::Rng::new() };
        Ok(Self { limits, secure: None, known: Mutex::new(known) })
    }

    /// The same, reaching members of other machines: over TLS, with the token that `rafty client create` printed. It is
    /// sent to nobody who does not prove first to know it.
    ///
    /// # Errors
    /// [`ClientError::BadToken`].
    pub fn with_token(mut self, token: &str) -> Result<Self, ClientError> {
        self.secure = Some(Secure::by_token(token)?);
        Ok(self)
    }

    /// The members as they were last told by one of them; before that, those given.
    pub fn members(&self) -> Vec<Address> {
        self.known().members.told().to_vec()
    }

    /// Asks anything, and gives the bytes of the reply. Redirects are followed; whatever can be repeated safely is tried
    /// again.
    ///
    /// # Errors
    /// [`Unreachable`](ClientError::Unreachable), [`NoLeader`](ClientError::NoLeader) and
    /// [`Refused`](ClientError::Refused): nothing was changed. [`UnknownOutcome`](ClientError::UnknownOutcome): a change
    /// without a session was sent and not answered, or one with a session not within the limits.
    pub async fn request(&self, ask: &Ask) -> Result<Vec<u8>, ClientError> {
        let order = {
            let known = &mut *self.known();
            known.members.order(needs_leader(ask), Instant::now(), &mut known.rng)
        };
        self.request_in_turn(ask, order).await
    }

    /// All entries, from a random member. Linearizable; without a leader, whatever that member has.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn get_state(&self) -> Result<State, ClientError> {
        let reply = self.request(&Ask::Get { key: None, consistency: Consistency::Available }).await?;
        let state = state(&reply).ok_or_else(|| ClientError::Decode("a member's state".into()))?;
        self.known().members.learn(state.cluster.clone());
        Ok(state)
    }

    /// One entry, from a random member.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn get_value(&self, key: &str, consistency: Consistency) -> Result<Option<Value>, ClientError> {
        let reply = self.request(&Ask::Get { key: Some(key.into()), consistency }).await?;
        Ok(decode_value(&reply).flatten().map(Value::received))
    }

    /// Changes an entry, without a session: when no answer comes it is not tried again. `false` when there was no entry
    /// to delete.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn append_log(&self, change: Change) -> Result<bool, ClientError> {
        let reply = self.request(&Ask::Append { change, session: None }).await?;
        Ok(found(&reply))
    }

    /// Asks the peer set's own machine, where it is not the dictionary, at a random member. Linearizable; without a
    /// leader, whatever that member has.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn query(&self, query: &[u8]) -> Result<Vec<u8>, ClientError> {
        let ask = Ask::Query { query: query.to_vec(), consistency: Consistency::Available };
        self.request(&ask).await.map(|reply| answer(&reply))
    }

    /// What a random member knows of Raft's inside.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn diagnostic(&self) -> Result<Diagnostic, ClientError> {
        self.request(&Ask::Diagnostic).await.and_then(|reply| diagnostic(&reply))
    }

    /// What one member, given as `HOST:PORT`, knows of Raft's inside.
    ///
    /// # Errors
    /// As [`request`](Self::request); [`ClientError::BadAddress`].
    pub async fn diagnostic_of(&self, member: &str) -> Result<Diagnostic, ClientError> {
        let order = vec![address::parse(member)?];
        self.request_in_turn(&Ask::Diagnostic, order).await.and_then(|reply| diagnostic(&reply))
    }

    /// Gives the member at `HOST:PORT` a vote, or removes it.
    ///
    /// # Errors
    /// As [`request`](Self::request); [`ClientError::BadAddress`].
    pub async fn config_cluster(&self, action: ConfigAction, member: &str) -> Result<(), ClientError> {
        let Address(address, port) = address::parse(member)?;
        self.request(&Ask::Config { action, address, port }).await.map(drop)
    }

    async fn request_in_turn(&self, ask: &Ask, order: Vec<Address>) -> Result<Vec<u8>, ClientError> {
        let timeout = Some((self.limits.answer_within / 2).min(MAX_TIMEOUT));
        let token = self.secure.as_ref().map(|secure| secure.token().clone());
        let request = Zeroizing::new(Request { ask: ask.clone(), keep: false, timeout, token }.encode());
        let until = Instant::now() + self.limits.patience;
        let mut course = Course::new(self.limits.clone(), order);
        let mut trouble = Trouble::default();
        while let Some(member) = course.next() {
            let verdict = self.try_once(&member, ask, &request, until).await;
            self.learn(&member, ask, &verdict);
            let pause = match verdict {
                Verdict::Answer(reply) => return Ok(reply),
                Verdict::Refused { code, detail } => return Err(trouble.refused(code, detail)),
                Verdict::Unclear(why) if is_change(ask) => {
                    trouble.doubt = Some(why);
                    if !is_repeatable(ask) {
                        break;
                    }
                    course.failed(self.random())
                }
                Verdict::Redirect(leader) => {
                    trouble.last =
                        Some(ClientError::NoLeader(format!("sent on to {}:{}", leader.0, leader.1)));
                    course.redirected(leader, self.random())
                }
                Verdict::NotNow { code, detail } => {
                    trouble.not_now(code, detail);
                    course.failed(self.random())
                }
                Verdict::NotSent(why) | Verdict::Unclear(why) => {
                    trouble.silence(why);
                    course.failed(self.random())
                }
            };
            if left(until) <= pause {
                break;
            }
            Timer::after(pause).await;
        }
        Err(trouble.error())
    }

    async fn try_once(&self, member: &Address, ask: &Ask, request: &[u8], until: Instant) -> Verdict {
        let Limits { connect_within, answer_within, .. } = self.limits;
        let within = |time: Duration| time.min(left(until));
        let secure = self.secure.as_ref();
        match exchange(member, request, secure, within(connect_within), within(answer_within)).await {
            Ok(reply) => judge(ask, reply),
            Err(Failure::NotSent(why)) => Verdict::NotSent(why),
            Err(Failure::NoReply(why)) => Verdict::Unclear(why),
            Err(Failure::Refused(code, detail)) => failed(code, detail),
        }
    }

    /// What a try tells about the members.
    fn learn(&self, member: &Address, ask: &Ask, verdict: &Verdict) {
        let members = &mut self.known().members;
        let silent = matches!(verdict, Verdict::NotSent(_) | Verdict::Unclear(_));
        members.answered(member, !silent, Instant::now());
        match verdict {
            Verdict::Answer(_) if needs_leader(ask) => members.leads(Some(member.clone())),
            Verdict::Redirect(leader) => members.leads(Some(leader.clone())),
            Verdict::NotNow { .. } => members.leads(None),
            _ => {}
        }
    }

    fn random(&self) -> f64 {
        self.known().rng.f64()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What went wrong so far.
#[derive(Default)]
struct Trouble {
    /// Why the change may count already.
    doubt: Option<String>,
    last: Option<ClientError>,
}

impl Trouble {
    fn not_now(&mut self, code: String, detail: String) {
        self.last = Some(match code.as_str() {
            "no_leader" => ClientError::NoLeader(detail),
            _ => ClientError::Refused { code, detail },
        });
    }

    /// Who does not answer tells less than who said why not.
    fn silence(&mut self, why: String) {
        if !matches!(self.last, Some(ClientError::NoLeader(_) | ClientError::Refused { .. })) {
            self.last = Some(ClientError::Unreachable(why));
        }
    }

    fn refused(self, code: String, detail: String) -> ClientError {
        match self.doubt {
            Some(doubt) if FORGETFUL.contains(&code.as_str()) => ClientError::UnknownOutcome(doubt),
            _ => ClientError::Refused { code, detail },
        }
    }

    fn error(self) -> ClientError {
        match self.doubt {
            Some(doubt) => ClientError::UnknownOutcome(doubt),
            None => self.last.unwrap_or_else(|| ClientError::Unreachable("none was tried in time".into())),
        }
    }
}

fn needs_leader(ask: &Ask) -> bool {
    is_change(ask)
}

fn is_change(ask: &Ask) -> bool {
    matches!(ask, Ask::Append { .. } | Ask::Config { .. })
}

/// Whether doing it twice is no more than doing it once.
fn is_repeatable(ask: &Ask) -> bool {
    !matches!(ask, Ask::Append { session: None, .. } | Ask::Config { .. })
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// What another machine than the dictionary answered.
pub(crate) fn answer(reply: &[u8]) -> Vec<u8> {
    decode_answer(reply).unwrap_or_default().to_vec()
}

/// Whether a change that counts found what it was to delete.
pub(crate) fn found(reply: &[u8]) -> bool {
    !matches!(Reply::decode(reply), Some(Reply::Result { found: Some(false), .. }))
}

fn state(reply: &[u8]) -> Option<State> {
    let mut state = State::default();
    for (key, value) in decode_entries(reply)? {
        if key == "cluster" {
            state.cluster = rmp_serde::from_slice(value).ok()?;
        } else {
            state.entries.insert(key.to_string(), Value::received(value));
        }
    }
    Some(state)
}

fn diagnostic(reply: &[u8]) -> Result<Diagnostic, ClientError> {
    rmp_serde::from_slice(reply).map_err(|why| ClientError::Decode(why.to_string()))
}
