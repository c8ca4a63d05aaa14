//! Who may use the dictionary from other machines. Whether a token is one of these is checked where it is shown.

use crate::clock::{Expiring, expiry};
use crate::control::Context;
use crate::roster::{ensure, within};
use rafty_types::{ClientRecord, MAX_NAME_LEN, Rejection};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most clients that have not expired.
pub const MAX_CLIENTS: usize = 64;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clients(BTreeMap<String, Expiring<ClientRecord>>);

impl Clients {
    pub(crate) fn from_format_4(clients: BTreeMap<String, ClientRecord>) -> Self {
        let until = |record: ClientRecord| Expiring { expires_ms: record.ttl_ms, record };
        Self(clients.into_iter().map(|(name, record)| (name, until(record))).collect())
    }

    pub(crate) fn all(&self) -> &BTreeMap<String, Expiring<ClientRecord>> {
        &self.0
    }

    /// Elapsed time begins at 0, and wall time was `wall_ms`.
    pub(crate) fn count_elapsed(&mut self, wall_ms: u64) {
        self.0.values_mut().for_each(|client| client.count_elapsed(wall_ms));
    }

    /// A name that has expired can be given again.
    pub(crate) fn create(&mut self, at: &Context, client: ClientRecord) -> Result<(), Rejection> {
        let expired = |client: &Expiring<ClientRecord>| client.has_expired(at.now_ms);
        ensure(within(client.name.len(), MAX_NAME_LEN), "a client's name takes 1 to 64 bytes")?;
        let expires_ms = expiry(at.now_ms, at.by_wall, client.ttl_ms)?;
        let live = || self.0.values().filter(|client| !expired(client)).map(|client| &client.record);
        ensure(
            live().all(|other| other.name != client.name),
            "there is a client of this name; revoke it first",
        )?;
        ensure(live().all(|other| other.id != client.id), "there is a client with this token")?;
        ensure(live().count() < MAX_CLIENTS, "there are 64 clients; revoke some first")?;

        self.0.retain(|_, client| !expired(client));
        self.0.insert(client.name.clone(), Expiring { record: client, expires_ms });
        Ok(())
    }

    pub(crate) fn revoke(&mut self, name: &str) -> Result<(), Rejection> {
        self.0.remove(name).map(drop).ok_or(Rejection::UnknownClient)
    }
}
