//! Envelopes in transit: spooled bytes on disk, named by handles, deleted when nobody needs them any more.
//!
//! Holding an `Arc<Spooled>` keeps the bytes; the table only gives them names. It does not look inside.

use crate::net::{BulkBody, Delivery, Net};
use rafty_node::UnderWay;
use rafty_rounds::EnvelopeHandle;
use rafty_seal::SignedHeader;
use rafty_storage::{Spool, SpoolHandle};
use rafty_types::MemberId;
use smol::channel::{Receiver, Sender, bounded};
use smol::future;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

/// The longest body that goes to members who cannot open it, too.
pub(crate) const MAX_BROADCAST_BODY: u64 = 1024 * 1024;

/// An envelope whose body is in the spool.
pub(crate) struct Spooled {
    pub(crate) head: SignedHeader,
    spool: Arc<Spool>,
    body: SpoolHandle,
    under_way: Mutex<UnderWay>,
    /// Closed when it is of no use any more to whom it is being sent.
    needed: (Sender<()>, Receiver<()>),
}

impl Spooled {
    pub(crate) fn new(head: SignedHeader, spool: Arc<Spool>, body: SpoolHandle) -> Self {
        Self { head, spool, body, under_way: Mutex::default(), needed: bounded(1) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.spool.path(self.body)
    }

    async fn withdrawn(&self) {
        // Nothing is ever sent over it.
        let _ = self.needed.1.recv().await;
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Forgets it, and gives up sending it.
    pub(crate) fn withdraw(&mut self, handle: EnvelopeHandle) {
        if let Some(envelope) = self.named.remove(&handle) {
            envelope.needed.0.close();
        }
    }
}

/// Sends an envelope to all of `to`, and first to those who can open it: a round waits for them only. Everybody hears of
/// it; a long body, or any over a slow link, goes to its recipients alone. The bytes stay until the last copy is out, or until
/// the envelope is withdrawn.
pub(crate) async fn broadcast(net: Net, envelope: Arc<Spooled>, to: Vec<MemberId>) {
    future::or(send_to_all(&net, &envelope, to), envelope.withdrawn()).await;
}

async fn send_to_all(net: &Net, envelope: &Spooled, to: Vec<MemberId>) {
    let header = envelope.head.header();
    let (recipients, others): (Vec<_>, Vec<_>) = to.into_iter().partition(|member| header.is_for(*member));
    send(net, envelope, &recipients, true).await;
    // One slow way may be the own one, which all share.
    let slow = recipients.iter().chain(&others).any(|member| net.is_slow(*member));
    let whole = header.ciphertext_len <= MAX_BROADCAST_BODY && !slow;
    send(net, envelope, &others, whole).await;
}

/// Returns when each of `to` has it, or has failed to take it; without those to whom it is on its way.
async fn send(net: &Net, envelope: &Spooled, to: &[MemberId], whole: bool) {
    let head = envelope.head.encode();
    let body = if whole { BulkBody::File(envelope.path()) } else { BulkBody::Bytes(Arc::new([])) };
    let send = |member| (member, net.send_envelope(member, head.clone(), body.clone()));
    let deliveries: Vec<_> = envelope.under_way().begin(to).into_iter().map(send).collect();
    let over = |(member, delivery): (MemberId, Delivery)| {
        Box::pin(async move {
            delivery.taken().await;
            envelope.under_way().end(member);
        })
    };
    let mut waits: Vec<_> = deliveries.into_iter().map(over).collect();
    poll_fn(|context| {
        waits.retain_mut(|wait| wait.as_mut().poll(context).is_pending());
        if waits.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
