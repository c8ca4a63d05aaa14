//! Tenure keys: made ahead, used for one tenure, zeroized at its end.
//!
//! The private halves are here and nowhere else: never on disk, never in a log.

use crate::work::WorkerContext;
use rafty_node::TenureKey;
use rafty_seal::RsaKey;
use rafty_types::Digest;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Private halves by the digest of the public half: the one in use and the one made ahead.
#[derive(Default)]
pub(crate) struct TenureKeys(Mutex<Keys>);

#[derive(Default)]
struct Keys {
    by_id: BTreeMap<Digest, Arc<RsaKey>>,
    /// The newest, which may not have been heard of outside yet.
    newest: Option<Digest>,
}

impl TenureKeys {
    pub(crate) fn get(&self, key_id: Digest) -> Option<Arc<RsaKey>> {
        self.keys().by_id.get(&key_id).cloned()
    }

    fn add(&self, key: RsaKey) {
        let mut keys = self.keys();
        keys.newest = Some(key.key_id());
        keys.by_id.insert(key.key_id(), Arc::new(key));
    }

    /// Drops, and so zeroizes, every key but the newest and `except`.
    pub(crate) fn forget(&self, except: Option<Digest>) {
        let mut keys = self.keys();
        let newest = keys.newest;
        keys.by_id.retain(|key_id, _| Some(*key_id) == except || Some(*key_id) == newest);
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a tenure key. Takes from a third of a second to tens of seconds.
pub(crate) fn make_tenure_key(context: &WorkerContext) -> TenureKey {
    let key = RsaKey::generate(&mut crate::random::rng());
    let rsa_public = key.public_der();
    context.tenure_keys.add(key);
    TenureKey { rsa_public }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_just_made_outlives_the_tenures_of_others() {
        let pair = |der: &[u8]| RsaKey::from_der(der).expect("a key of the tests");
        let used = pair(include_bytes!("../../../seal/tests/keys/aggregator.der"));
        let ahead = pair(include_bytes!("../../../seal/tests/keys/participant.der"));
        let (used_id, ahead_id) = (used.key_id(), ahead.key_id());
        let keys = TenureKeys::default();
        keys.add(used);
        keys.forget(Some(used_id));
        keys.add(ahead);
        keys.forget(Some(used_id));
        assert!(keys.get(used_id).is_some() && keys.get(ahead_id).is_some());
        keys.forget(None);
        assert!(keys.get(used_id).is_none(), "its tenure is over");
        assert!(keys.get(ahead_id).is_some(), "nobody has heard of it yet");
    }
}
