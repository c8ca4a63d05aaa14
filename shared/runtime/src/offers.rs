//! Envelopes that others would send: judged by their heads in the loop, before anything of their bodies is read.

use crate::envelopes::MAX_BROADCAST_BODY;
use crate::machine::UserMachine;
use crate::net;
use crate::shell::{LoopEvent, Shell};
use rafty_seal::{SignedHeader, verify};
use rafty_storage::{Spool, SpoolHandle};
use rafty_types::{EnvelopeHeader, MemberId};
use smol::channel::{Sender, bounded};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// An update or a model has at most so many times the bytes of the model that updates are trained from, and the shortest
/// ones have [`MAX_BROADCAST_BODY`] at most.
const LONGEST: u64 = 2;

/// An envelope that a member would send.
pub(crate) struct Offer {
    from: MemberId,
    head: SignedHeader,
    /// Of its body, in bytes.
    len: u64,
    /// Whether it is wanted.
    answer: Sender<bool>,
}

/// Envelopes that are wanted go into the spool.
pub(crate) struct Inbox {
    spool: Arc<Spool>,
    loop_back: Sender<LoopEvent>,
}

impl Inbox {
    pub(crate) fn new(spool: &Arc<Spool>, loop_back: &Sender<LoopEvent>) -> Self {
        Self { spool: spool.clone(), loop_back: loop_back.clone() }
    }
}

impl net::Spool for Inbox {
    fn wants(&self, from: MemberId, header: &[u8], len: u64) -> bool {
        let Ok(head) = SignedHeader::decode(header) else { return false };
        let (answer, answered) = bounded(1);
        let offer = Box::new(Offer { from, head, len, answer });
        self.loop_back.send_blocking(LoopEvent::Offered(offer)).is_ok()
            && answered.recv_blocking().unwrap_or(false)
    }

    fn create(&self, len: u64) -> io::Result<(u64, File)> {
        let (handle, file) = self.spool.create(len).map_err(io::Error::other)?;
        Ok((handle.0, file.into_file()))
    }

    fn discard(&self, handle: u64) {
        // A file that cannot be removed goes at the next start.
        let _ = self.spool.remove(SpoolHandle(handle));
    }
}

impl<U: UserMachine> Shell<U> {
    pub(crate) fn offered(&self, offer: &Offer) {
        // Whoever asked has gone.
        let _ = offer.answer.try_send(self.wants(offer));
    }

    fn wants(&self, Offer { from, head, len, .. }: &Offer) -> bool {
        let header = head.header();
        let sender = self.node.state().control().member(*from);
        let sound = header.ciphertext_len == *len && sender.is_some_and(|sender| verify(head, &sender.key));
        if !sound {
            return false;
        }
        if !header.is_for(self.me) {
            return *len <= MAX_BROADCAST_BODY;
        }
        self.longest(header).is_none_or(|longest| *len <= longest) && self.node.would_take(*from, header)
    }

    /// How long the body may be; `None` where the model is not here by which that is told.
    fn longest(&self, header: &EnvelopeHeader) -> Option<u64> {
        let (_, model) = self.node.base().filter(|(run, _)| *run == header.label.run)?;
        let len = self.context.models.len(model).ok()??;
        Some(len.saturating_mul(LONGEST).saturating_add(MAX_BROADCAST_BODY))
    }
}
