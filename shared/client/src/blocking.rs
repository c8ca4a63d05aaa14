//! The same two for programs without an executor: each call returns when it is done.
//!
//! Not for use inside asynchronous code: a call blocks its thread.

use crate::{
    Address, Ask, Change, ClientError, ConfigAction, Consistency, Diagnostic, Limits, Reading, Refresh,
    Session, State, Value,
};
use serde::{Serialize, de::DeserializeOwned};
use smol::block_on;
use std::fmt;

/// [`ClusterClient`](crate::ClusterClient), blocking.
#[derive(Debug)]
pub struct ClusterClient(crate::ClusterClient);

/// Each method is the one of the same name of [`crate::ClusterClient`].
#[allow(missing_docs, clippy::missing_errors_doc)]
impl ClusterClient {
    pub fn new(addresses: impl IntoIterator<Item: AsRef<str>>) -> Result<Self, ClientError> {
        crate::ClusterClient::new(addresses).map(Self)
    }

    pub fn with_limits(
        addresses: impl IntoIterator<Item: AsRef<str>>,
        limits: Limits,
    ) -> Result<Self, ClientError> {
        crate::ClusterClient::with_limits(addresses, limits).map(Self)
    }

    pub fn with_token(self, token: &str) -> Result<Self, ClientError> {
        self.0.with_token(token).map(Self)
    }

    pub fn members(&self) -> Vec<Address> {
        self.0.members()
    }

    pub fn request(&self, ask: &Ask) -> Result<Vec<u8>, ClientError> {
        block_on(self.0.request(ask))
    }

    pub fn get_state(&self) -> Result<State, ClientError> {
        block_on(self.0.get_state())
    }

    pub fn get_value(&self, key: &str, consistency: Consistency) -> Result<Option<Value>, ClientError> {
        block_on(self.0.get_value(key, consistency))
    }

    pub fn read_state(&self, consistency: Consistency) -> Result<State, ClientError> {
        block_on(self.0.read_state(consistency))
    }

    pub fn read_value(
        &self,
        key: &str,
        consistency: Consistency,
    ) -> Result<Reading<Option<Value>>, ClientError> {
        block_on(self.0.read_value(key, consistency))
    }

    pub fn append_log(&self, change: Change) -> Result<bool, ClientError> {
        block_on(self.0.append_log(change))
    }

    pub fn append_once(&self, session: &mut Session, change: &Change) -> Result<bool, ClientError> {
        block_on(self.0.append_once(session, change))
    }

    pub fn query(&self, query: &[u8]) -> Result<Vec<u8>, ClientError> {
        block_on(self.0.query(query))
    }

    pub fn command_once(&self, session: &mut Session, command: &[u8]) -> Result<Vec<u8>, ClientError> {
        block_on(self.0.command_once(session, command))
    }

    pub fn diagnostic(&self) -> Result<Diagnostic, ClientError> {
        block_on(self.0.diagnostic())
    }

    pub fn diagnostic_of(&self, member: &str) -> Result<Diagnostic, ClientError> {
        block_on(self.0.diagnostic_of(member))
    }

    pub fn config_cluster(&self, action: ConfigAction, member: &str) -> Result<(), ClientError> {
        block_on(self.0.config_cluster(action, member))
    }
}

/// [`DistributedDict`](crate::DistributedDict), blocking.
pub struct DistributedDict(crate::DistributedDict);

/// Each method is the one of the same name of [`crate::DistributedDict`].
#[allow(missing_docs, clippy::missing_errors_doc)]
impl DistributedDict {
    pub fn new(addresses: impl IntoIterator<Item: AsRef<str>>) -> Result<Self, ClientError> {
        crate::DistributedDict::new(addresses).map(Self)
    }

    pub fn with_token(
        addresses: impl IntoIterator<Item: AsRef<str>>,
        token: &str,
    ) -> Result<Self, ClientError> {
        crate::DistributedDict::with_token(addresses, token).map(Self)
    }

    pub fn over(client: ClusterClient) -> Self {
        Self(crate::DistributedDict::over(client.0))
    }

    pub fn set_sessions(&mut self, on: bool) {
        self.0.set_sessions(on);
    }

    pub fn refresh_policy(&self) -> Refresh {
        self.0.refresh_policy()
    }

    pub fn set_refresh_policy(&mut self, policy: Refresh) {
        self.0.set_refresh_policy(policy);
    }

    pub fn set_stale_reads(&mut self, on: bool) {
        self.0.set_stale_reads(on);
    }

    pub fn is_stale(&self) -> bool {
        self.0.is_stale()
    }

    pub fn refresh(&mut self) -> Result<(), ClientError> {
        block_on(self.0.refresh())
    }

    pub fn cluster(&self) -> &[Address] {
        self.0.cluster()
    }

    pub fn get<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, ClientError> {
        block_on(self.0.get(key))
    }

    pub fn get_raw(&mut self, key: &str) -> Result<Option<&Value>, ClientError> {
        block_on(self.0.get_raw(key))
    }

    pub fn contains(&mut self, key: &str) -> Result<bool, ClientError> {
        block_on(self.0.contains(key))
    }

    pub fn len(&mut self) -> Result<usize, ClientError> {
        block_on(self.0.len())
    }

    pub fn is_empty(&mut self) -> Result<bool, ClientError> {
        block_on(self.0.is_empty())
    }

    pub fn iter(&mut self) -> Result<impl ExactSizeIterator<Item = (&str, &Value)>, ClientError> {
        block_on(self.0.iter())
    }

    pub fn insert<T: Serialize + ?Sized>(
        &mut self,
        key: impl Into<String>,
        value: &T,
    ) -> Result<(), ClientError> {
        block_on(self.0.insert(key, value))
    }

    pub fn insert_raw(&mut self, key: impl Into<String>, value: Value) -> Result<(), ClientError> {
        block_on(self.0.insert_raw(key, value))
    }

    pub fn extend<K: Into<String>, T: Serialize>(
        &mut self,
        entries: impl IntoIterator<Item = (K, T)>,
    ) -> Result<(), ClientError> {
        block_on(self.0.extend(entries))
    }

    pub fn remove(&mut self, key: &str) -> Result<bool, ClientError> {
        block_on(self.0.remove(key))
    }
}

/// [`Connection`](crate::Connection), blocking.
pub struct Connection(crate::Connection);

/// Each method is the one of the same name of [`crate::Connection`].
#[allow(missing_docs, clippy::missing_errors_doc)]
impl Connection {
    pub fn open(member: &str, token: Option<&str>) -> Result<Self, ClientError> {
        block_on(crate::Connection::open(member, token)).map(Self)
    }

    pub fn ask(&mut self, ask: Ask) -> Result<Vec<u8>, ClientError> {
        block_on(self.0.ask(ask))
    }
}

impl fmt::Debug for DistributedDict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
