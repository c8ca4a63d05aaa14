//! Any request to any member, until it is answered or was tried often enough.

use crate::exchange::{Failure, Within, exchange};
use crate::members::Members;
use crate::retry_policy::{Limits, RetryPolicy};
use crate::secure::Secure;
use crate::verdict::{Verdict, failed, judge};
use crate::{ClientError, Value, address};
use rafty_wire::client::{
    Address, Ask, Change, ConfigAction, Consistency, Diagnostic, MAX_TIMEOUT, Reply, Request, decode_answer,
    decode_framed, decode_value, is_stale,
};
use smol::Timer;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// A member's word for hearing no leader.
const NO_LEADER: &str = "no_leader";
pub(crate) const UNKNOWN_SESSION: &str = "unknown_session";
/// Refusals that say nothing about a try before: the session that knew is gone, or the token is.
const FORGETFUL: &[&str] = &[UNKNOWN_SESSION, "forgotten_serial", "unauthorized"];

/// Everything a dictionary holds, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Where the members are.
    pub cluster: Vec<Address>,
    /// The entries.
    pub entries: BTreeMap<String, Value>,
    /// Whether no leader confirmed that this is the newest state; only after a read that asked for
    /// [`Stale`](Consistency::Stale).
    pub stale: bool,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<T> {
    /// The value.
    pub value: T,
    /// Whether no leader confirmed that it is the newest.
    pub stale: bool,
}

/// A client of a peer set. It may be shared between threads, in an `Arc`: requests do not wait for each other. It keeps no
/// connection between two requests, so it may be used after a `fork`, too.
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
    /// again, at every member that is known, until the [limits](Limits) are reached.
    ///
    /// # Errors
    /// [`Unreachable`](ClientError::Unreachable), [`NoQuorum`](ClientError::NoQuorum),
    /// [`NoLeader`](ClientError::NoLeader) and [`Refused`](ClientError::Refused): nothing was changed. [`UnknownOutcome`](ClientError::UnknownOutcome): a change
    /// without a session was sent and not answered, or one with a session not within the limits.
    pub async fn request(&self, ask: &Ask) -> Result<Vec<u8>, ClientError> {
        self.request_in_turn(ask, self.order(ask), None).await.map(|(_, reply)| reply)
    }

    /// The same, and which member answered.
    pub(crate) async fn request_told_by(&self, ask: &Ask) -> Result<(Address, Vec<u8>), ClientError> {
        self.request_in_turn(ask, self.order(ask), None).await
    }

    /// The same in a session that this member opened: it is asked first. Without a token nobody else knows the session,
    /// so that nobody else can tell what became of a change that it did not answer.
    pub(crate) async fn request_in_session(&self, ask: &Ask, home: &Address) -> Result<Vec<u8>, ClientError> {
        if self.secure.is_some() {
            return self.request(ask).await;
        }
        let mut order = self.order(ask);
        order.retain(|member| member != home);
        order.insert(0, home.clone());
        self.request_in_turn(ask, order, Some(home)).await.map(|(_, reply)| reply)
    }

    fn order(&self, ask: &Ask) -> Vec<Address> {
        let known = &mut *self.known();
        known.members.order(needs_leader(ask), self.secure.is_some(), Instant::now(), &mut known.rng)
    }

    /// All entries, linearizably. Every member is asked before this fails.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn get_state(&self) -> Result<State, ClientError> {
        self.read_state(Consistency::Linearizable).await
    }

    /// All entries, as fresh as asked for.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn read_state(&self, consistency: Consistency) -> Result<State, ClientError> {
        let reply = self.request(&Ask::get(None, consistency)).await?;
        let state = state(&reply).ok_or_else(|| ClientError::Decode("a member's state".into()))?;
        self.known().members.learn(state.cluster.clone());
        Ok(state)
    }

    /// One entry, as fresh as asked for.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn get_value(&self, key: &str, consistency: Consistency) -> Result<Option<Value>, ClientError> {
        self.read_value(key, consistency).await.map(|read| read.value)
    }

    /// The same, and whether it is stale.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn read_value(
        &self,
        key: &str,
        consistency: Consistency,
    ) -> Result<Reading<Option<Value>>, ClientError> {
        let reply = self.request(&Ask::get(Some(key), consistency)).await?;
        let value = decode_value(&reply).flatten().map(Value::received);
        Ok(Reading { value, stale: is_stale(&reply) })
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

    /// Asks the peer set's own machine, where it is not the dictionary, linearizably.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn query(&self, query: &[u8]) -> Result<Vec<u8>, ClientError> {
        let ask = Ask::Query { query: query.to_vec(), consistency: Consistency::Linearizable };
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
        self.request_in_turn(&Ask::Diagnostic, order, None).await.and_then(|(_, reply)| diagnostic(&reply))
    }

    /// Gives the member at `HOST:PORT` a vote, or removes it.
    ///
    /// # Errors
    /// As [`request`](Self::request); [`ClientError::BadAddress`].
    pub async fn config_cluster(&self, action: ConfigAction, member: &str) -> Result<(), ClientError> {
        let Address(address, port) = address::parse(member)?;
        self.request(&Ask::Config { action, address, port }).await.map(drop)
    }

    async fn request_in_turn(
        &self,
        ask: &Ask,
        order: Vec<Address>,
        home: Option<&Address>,
    ) -> Result<(Address, Vec<u8>), ClientError> {
        let request = |leader_within: Duration| {
            let timeout = Some(leader_within.min(MAX_TIMEOUT));
            let token = self.secure.as_ref().map(|secure| secure.token().clone());
            let request = Request { ask: ask.clone(), keep: false, timeout, token, forward: true };
            Zeroizing::new(request.encode())
        };
        let quick = self.limits.quick().filter(|_| is_read(ask));
        let patient = (self.limits.answer_within, request(self.limits.answer_within / 2));
        let quick = quick.map(|(first_within, leader_within)| (first_within, request(leader_within)));
        let until = Instant::now() + self.limits.patience;
        let mut retry_policy = RetryPolicy::new(self.limits.clone(), order);
        let mut trouble = Trouble::default();
        while let Some(member) = retry_policy.next() {
            let (first_within, request) =
                quick.as_ref().filter(|_| retry_policy.is_first_round()).unwrap_or(&patient);
            let verdict = self.try_once(&member, ask, request, *first_within, until).await;
            self.learn(&member, ask, &verdict);
            let pause = match verdict {
                Verdict::Answer(reply) => return Ok((member, reply)),
                Verdict::Refused { code, .. }
                    if trouble.doubt.is_some()
                        && code == UNKNOWN_SESSION
                        && home.is_some_and(|home| *home != member) =>
                {
                    retry_policy.failed(self.random())
                }
                Verdict::Refused { code, detail } => return Err(trouble.refused(code, detail)),
                Verdict::Unclear(why) if is_change(ask) => {
                    trouble.doubt = Some(why);
                    if !is_repeatable(ask) {
                        break;
                    }
                    retry_policy.failed(self.random())
                }
                Verdict::Redirect(leader) => {
                    trouble.last =
                        Some(ClientError::NoLeader(format!("sent on to {}:{}", leader.0, leader.1)));
                    retry_policy.redirected(leader, self.random())
                }
                Verdict::NotNow { code, detail } => {
                    trouble.not_now(code, detail);
                    retry_policy.failed(self.random())
                }
                Verdict::NotSent(why) | Verdict::Unclear(why) => {
                    trouble.silence(why);
                    retry_policy.failed(self.random())
                }
            };
            if left(until) <= pause {
                break;
            }
            Timer::after(pause).await;
        }
        Err(trouble.error(ask))
    }

    async fn try_once(
        &self,
        member: &Address,
        ask: &Ask,
        request: &[u8],
        first_within: Duration,
        until: Instant,
    ) -> Verdict {
        let Limits { connect_within, answer_within, .. } = self.limits;
        let within = |time: Duration| time.min(left(until));
        let times = Within {
            connect: within(connect_within),
            first: within(first_within),
            answer: within(answer_within),
        };
        match exchange(member, request, self.secure.as_ref(), times).await {
            Ok(reply) => judge(ask, reply),
            Err(Failure::NotSent(why)) => Verdict::NotSent(why),
            Err(Failure::NoReply(why)) => Verdict::Unclear(why),
            Err(Failure::Refused(code, detail)) => failed(code, detail),
        }
    }

    /// What a try tells about the members.
    fn learn(&self, member: &Address, ask: &Ask, verdict: &Verdict) {
        let members = &mut self.known().members;
        // A member that hears no leader is as little use as one that is silent: others are asked first.
        let helpless = match verdict {
            Verdict::NotSent(_) | Verdict::Unclear(_) => true,
            Verdict::NotNow { code, .. } => code == NO_LEADER,
            _ => false,
        };
        members.answered(member, !helpless, Instant::now());
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
            NO_LEADER => ClientError::NoLeader(detail),
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

    fn error(self, ask: &Ask) -> ClientError {
        match (self.doubt, self.last) {
            (Some(doubt), _) => ClientError::UnknownOutcome(doubt),
            (None, Some(ClientError::NoLeader(why))) if is_read(ask) => ClientError::NoQuorum(why),
            (None, last) => last.unwrap_or_else(|| ClientError::Unreachable("none was tried in time".into())),
        }
    }
}

fn needs_leader(ask: &Ask) -> bool {
    is_change(ask) || matches!(ask, Ask::Session)
}

fn is_change(ask: &Ask) -> bool {
    matches!(ask, Ask::Append { .. } | Ask::Config { .. })
}

fn is_read(ask: &Ask) -> bool {
    matches!(ask, Ask::Get { .. } | Ask::Query { .. })
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
    let read = decode_framed(reply)?;
    let mut state = State { stale: read.stale, ..State::default() };
    for (key, value) in read.entries {
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
