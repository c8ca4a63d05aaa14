//! The dictionary as a notice board.

use super::HeadAddress;
use crate::local::Interrupt;
use rafty_agent::Failure;
use rafty_client::blocking::ClusterClient;
use rafty_client::{Address, Change, ClientError, Consistency, State, Value};
use serde::{Serialize, de::DeserializeOwned};
use std::time::{Duration, Instant};

/// How often is looked for what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the board may be silent: members may be busy, or choose a leader.
const SILENT_FOR: Duration = Duration::from_secs(60);

pub(super) struct Board(ClusterClient);

impl Board {
    pub(super) fn at(head: &HeadAddress) -> Result<Self, Failure> {
        let client = ClusterClient::new([&head.member]).map_err(usage)?;
        let client = match &head.token {
            Some(token) => client.with_token(token).map_err(usage)?,
            None => client,
        };
        Ok(Self(client))
    }

    /// Writes something. Doing so twice does no harm.
    pub(super) fn put<T: Serialize>(
        &self,
        key: &str,
        value: &T,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let change = change(key, value)?;
        self.patiently(interrupt, || self.0.append_log(change.clone())).map(drop)
    }

    /// Tries once to write what is useful and not needed.
    pub(super) fn tell<T: Serialize>(&self, key: &str, value: &T) {
        let _ = change(key, value).map(|change| self.0.append_log(change));
    }

    pub(super) fn get<T: DeserializeOwned>(
        &self,
        key: &str,
        interrupt: &Interrupt,
    ) -> Result<Option<T>, Failure> {
        let value = self.patiently(interrupt, || self.0.get_value(key, Consistency::Linearizable))?;
        value.map(|value| value.decode()).transpose().map_err(failed)
    }

    /// Waits until `enough` says what it makes of what stands there.
    pub(super) fn wait<T: DeserializeOwned, R>(
        &self,
        key: &str,
        interrupt: &Interrupt,
        enough: impl Fn(T) -> Option<R>,
    ) -> Result<R, Failure> {
        loop {
            if let Some(found) = self.get(key, interrupt)?.and_then(&enough) {
                return Ok(found);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Everything that stands there now.
    pub(super) fn read(&self, interrupt: &Interrupt) -> Result<Posted, Failure> {
        self.patiently(interrupt, || self.0.get_state()).map(Posted)
    }

    /// Asks until there is an answer, somebody wants an end, or nobody answers for long.
    fn patiently<T>(
        &self,
        interrupt: &Interrupt,
        ask: impl Fn() -> Result<T, ClientError>,
    ) -> Result<T, Failure> {
        let until = Instant::now() + SILENT_FOR;
        loop {
            interrupt.check()?;
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(error @ ClientError::Refused { .. }) => return Err(failed(error)),
                Err(error) if Instant::now() > until => return Err(failed(error)),
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }
}

/// What stood on the board at one moment.
pub(super) struct Posted(State);

impl Posted {
    /// Everything whose key begins like this.
    pub(super) fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, Failure> {
        let ours = self.0.entries.iter().filter(|(key, _)| key.starts_with(prefix));
        ours.map(|(_, value)| value.decode()).collect::<Result<_, _>>().map_err(failed)
    }

    /// Where the members are.
    pub(super) fn members(&self) -> &[Address] {
        &self.0.cluster
    }
}

fn change<T: Serialize>(key: &str, value: &T) -> Result<Change, Failure> {
    let value = Value::encode(value).map_err(failed)?.bytes().to_vec();
    Ok(Change::Set { key: key.into(), value })
}

fn usage(error: ClientError) -> Failure {
    Failure::usage(error.to_string())
}

fn failed(error: ClientError) -> Failure {
    Failure::failed(format!("the benchmark's dictionary: {error}"))
}
