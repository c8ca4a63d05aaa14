//! Envelopes in transit: spooled bytes on disk, named by handles, deleted when nobody needs them any more.
//!
//! Holding an `Arc<Spooled>` keeps the bytes; the table only gives them names. It does not look inside.

use rafty_rounds::EnvelopeHandle;
use rafty_seal::SignedHeader;
use rafty_storage::{Spool, SpoolHandle};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// An envelope whose body is in the spool.
pub(crate) struct Spooled {
    pub(crate) head: SignedHeader,
    spool: Arc<Spool>,
    body: SpoolHandle,
}

impl Spooled {
    pub(crate) fn new(head: SignedHeader, spool: Arc<Spool>, body: SpoolHandle) -> Self {
        Self { head, spool, body }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.spool.path(self.body)
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        // A file that cannot be removed goes at the next start.
        let _ = self.spool.remove(self.body);
    }
}

/// The node's names for envelopes.
#[derive(Default)]
pub(crate) struct Envelopes {
    named: BTreeMap<EnvelopeHandle, Arc<Spooled>>,
    last: u64,
}

impl Envelopes {
    pub(crate) fn name(&mut self, envelope: Arc<Spooled>) -> EnvelopeHandle {
        self.last += 1;
        self.named.insert(EnvelopeHandle(self.last), envelope);
        EnvelopeHandle(self.last)
    }

    pub(crate) fn get(&self, handle: EnvelopeHandle) -> Option<Arc<Spooled>> {
        self.named.get(&handle).cloned()
    }

    pub(crate) fn forget(&mut self, handle: EnvelopeHandle) {
        self.named.remove(&handle);
    }
}
