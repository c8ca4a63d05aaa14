//! Tenure keys: made ahead, used for one tenure, zeroized at its end.
//!
//! The private halves are here and nowhere else: never on disk, never in a log.

use crate::work::Bench;
use rafty_node::TenureKey;
use rafty_seal::RsaKey;
use rafty_types::{Digest, MemberId, tenure_statement};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Private halves by the digest of the public half: the one in use and the one made ahead.
#[derive(Default)]
pub(crate) struct TenureKeys(Mutex<BTreeMap<Digest, Arc<RsaKey>>>);

impl TenureKeys {
    pub(crate) fn get(&self, key_id: Digest) -> Option<Arc<RsaKey>> {
        self.keys().get(&key_id).cloned()
    }

    fn add(&self, key: RsaKey) {
        self.keys().insert(key.key_id(), Arc::new(key));
    }

    /// Drops, and so zeroizes, every key but `except` and `ahead`.
    pub(crate) fn forget(&self, except: Option<Digest>, ahead: Option<Digest>) {
        self.keys().retain(|key_id, _| Some(*key_id) == except || Some(*key_id) == ahead);
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Arc<RsaKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a tenure key and signs it as this member. Takes from a third of a second to tens of seconds.
pub(crate) fn make_tenure_key(bench: &Bench, me: MemberId) -> TenureKey {
    let key = RsaKey::generate(&mut crate::random::rng());
    let rsa_public = key.public_der();
    let signature = bench.secrets.identity.sign(&tenure_statement(bench.cluster, me, &rsa_public));
    bench.tenure_keys.add(key);
    TenureKey { rsa_public, signature }
}
