//! The replicated dictionary as if it were here.
//!
//! Reads go to a copy, which is renewed as the refresh policy says; changes go to the peer set, and into the copy once
//! they count.

use crate::freshness::Freshness;
use crate::{Address, ClientError, ClusterClient, Refresh, Session, State, Value};
use rafty_wire::client::{Change, Consistency, MAX_KEY_LEN};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;
use std::time::Instant;

/// The dictionary of a peer set. Every change goes through a session unless told otherwise.
pub struct DistributedDict {
    client: ClusterClient,
    session: Option<Session>,
    freshness: Freshness,
    consistency: Consistency,
    state: State,
}

impl DistributedDict {
    /// The dictionary of the peer set with these members, each as `HOST:PORT`. Nothing is asked yet.
    ///
    /// # Errors
    /// [`ClientError::BadAddress`], [`ClientError::NoAddress`].
    pub fn new(addresses: impl IntoIterator<Item: AsRef<str>>) -> Result<Self, ClientError> {
        ClusterClient::new(addresses).map(Self::over)
    }

    /// The same from another machine: see [`ClusterClient::with_token`].
    ///
    /// # Errors
    /// As [`new`](Self::new); [`ClientError::BadToken`].
    pub fn with_token(
        addresses: impl IntoIterator<Item: AsRef<str>>,
        token: &str,
    ) -> Result<Self, ClientError> {
        ClusterClient::new(addresses)?.with_token(token).map(Self::over)
    }

    /// The dictionary that this client reaches.
    pub fn over(client: ClusterClient) -> Self {
        Self {
            client,
            session: Some(Session::default()),
            freshness: Freshness::default(),
            consistency: Consistency::Linearizable,
            state: State::default(),
        }
    }

    /// The client below.
    pub fn client(&self) -> &ClusterClient {
        &self.client
    }

    /// Whether changes go through a session. Without one each is sent once only, and its outcome is unknown when no
    /// answer comes.
    pub fn set_sessions(&mut self, on: bool) {
        if on != self.session.is_some() {
            self.session = on.then(Session::default);
        }
    }

    /// When reads ask a member.
    pub fn refresh_policy(&self) -> Refresh {
        self.freshness.policy()
    }

    /// Sets when reads ask a member, from the next one on.
    pub fn set_refresh_policy(&mut self, policy: Refresh) {
        self.freshness.set_policy(policy);
    }

    /// Whether reads may show an older state when they ask a member: any one answers at once, with or without a leader.
    /// Off by default: reads are linearizable, or fail.
    pub fn set_stale_reads(&mut self, on: bool) {
        self.consistency = if on { Consistency::Stale } else { Consistency::Linearizable };
    }

    /// Whether the copy was read without a leader's word that it is the newest; only with
    /// [`set_stale_reads`](Self::set_stale_reads).
    pub fn is_stale(&self) -> bool {
        self.state.stale
    }

    /// Asks a member now, whatever the policy says.
    ///
    /// # Errors
    /// As [`ClusterClient::request`]; what was read before stays.
    pub async fn refresh(&mut self) -> Result<(), ClientError> {
        self.state = self.client.read_state(self.consistency).await?;
        self.freshness.asked(Instant::now());
        Ok(())
    }

    /// Where the members are, as last told.
    pub fn cluster(&self) -> &[Address] {
        &self.state.cluster
    }

    /// The value of a key, as a type.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh); [`ClientError::Decode`] when the value is of another type.
    pub async fn get<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, ClientError> {
        self.get_raw(key).await?.map(Value::decode).transpose()
    }

    /// The value of a key, bit for bit.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub async fn get_raw(&mut self, key: &str) -> Result<Option<&Value>, ClientError> {
        Ok(self.read().await?.entries.get(key))
    }

    /// Whether there is such a key.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub async fn contains(&mut self, key: &str) -> Result<bool, ClientError> {
        Ok(self.read().await?.entries.contains_key(key))
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub async fn len(&mut self) -> Result<usize, ClientError> {
        Ok(self.read().await?.entries.len())
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub async fn is_empty(&mut self) -> Result<bool, ClientError> {
        self.len().await.map(|len| len == 0)
    }

    /// All entries as they are at one moment, in the order of their keys.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub async fn iter(&mut self) -> Result<impl ExactSizeIterator<Item = (&str, &Value)>, ClientError> {
        Ok(self.read().await?.entries.iter().map(|(key, value)| (key.as_str(), value)))
    }

    /// Sets a value. When this returns it is on the disks of a majority.
    ///
    /// # Errors
    /// As [`ClusterClient::append_once`]; [`ClientError::Encode`] when it cannot be written or is too long.
    pub async fn insert<T: Serialize + ?Sized>(
        &mut self,
        key: impl Into<String>,
        value: &T,
    ) -> Result<(), ClientError> {
        self.insert_raw(key, Value::encode(value)?).await
    }

    /// Sets a value, bit for bit.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub async fn insert_raw(&mut self, key: impl Into<String>, value: Value) -> Result<(), ClientError> {
        let key = checked(key.into())?;
        self.change(Change::Set { key: key.clone(), value: value.bytes().to_vec() }).await?;
        if self.freshness.has_asked() {
            self.state.entries.insert(key, value);
        }
        Ok(())
    }

    /// Sets several values, one after the other. After an error those before it stand.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub async fn extend<K: Into<String>, T: Serialize>(
        &mut self,
        entries: impl IntoIterator<Item = (K, T)>,
    ) -> Result<(), ClientError> {
        for (key, value) in entries {
            self.insert(key, &value).await?;
        }
        Ok(())
    }

    /// Removes an entry: whether there was one.
    ///
    /// # Errors
    /// As [`ClusterClient::append_once`].
    pub async fn remove(&mut self, key: &str) -> Result<bool, ClientError> {
        let found = self.change(Change::Delete { key: checked(key.to_string())? }).await?;
        self.state.entries.remove(key);
        Ok(found)
    }

    async fn change(&mut self, change: Change) -> Result<bool, ClientError> {
        match &mut self.session {
            Some(session) => self.client.append_once(session, &change).await,
            None => self.client.append_log(change).await,
        }
    }

    async fn read(&mut self) -> Result<&State, ClientError> {
        if self.freshness.is_due(Instant::now()) {
            self.refresh().await?;
        }
        self.freshness.read();
        Ok(&self.state)
    }
}

/// The entries as they were last read; nobody is asked.
impl fmt::Debug for DistributedDict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.state.entries).finish()
    }
}

/// A key that the peer set takes. Asking it would use up a place in the session.
fn checked(key: String) -> Result<String, ClientError> {
    if key == "cluster" {
        Err(ClientError::refused("read_only_key", "the key `cluster` lists the members; choose another key"))
    } else if key.len() > MAX_KEY_LEN {
        let why =
            format!("a key takes at most {MAX_KEY_LEN} bytes; nothing was changed; choose a shorter one");
        Err(ClientError::refused("too_long", why))
    } else {
        Ok(key)
    }
}
