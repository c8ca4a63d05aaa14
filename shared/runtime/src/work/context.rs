//! What the worker threads have at hand: this member's keys, its disk, and the accumulators of open attempts.

use crate::member::Secrets;
use crate::work::combine::Accumulator;
use crate::work::keys::TenureKeys;
use rafty_rounds::AttemptKey;
use rafty_storage::{Blobs, DataDir, Spool};
use rafty_types::{MemberId, SetId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Shared by the worker threads; each part has its own lock, held for no longer than its use.
pub(crate) struct WorkerContext {
    pub(crate) me: MemberId,
    pub(crate) set: SetId,
    pub(crate) secrets: Secrets,
    pub(crate) dir: Arc<DataDir>,
    pub(crate) models: Blobs,
    pub(crate) updates: Blobs,
    pub(crate) spool: Arc<Spool>,
    pub(crate) tenure_keys: TenureKeys,
    /// At most one attempt is open at a time; an older one may still wait to be forgotten.
    pub(crate) accumulators: Mutex<BTreeMap<AttemptKey, Accumulator>>,
}
