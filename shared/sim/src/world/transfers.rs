//! Transfers of envelopes: at once, part by part over slow links, or to where nobody is.

use super::{Happening, World, ms};
use crate::member::Device;
use crate::tally::{Evil, Sometimes};
use rafty_node::{Input, Silence};
use rafty_rounds::{Arrival, EnvelopeHandle};
use rafty_types::{EnvelopeHeader, EnvelopeKind, MemberId, Time};
use std::time::Duration;

/// When a stream that breaks does.
pub(super) const BROKEN_AFTER: Duration = ms(500);
/// When an envelope that is sent twice is sent again, in milliseconds.
const REPLAY_AFTER: (u64, u64) = (10, 20_000);
/// How many in a hundred transfers to where nobody is are not noticed to be so.
const STALLS: u64 = 10;
/// How long one may be waited for at most. Transports look once a second.
const TRANSFERS_END_WITHIN: Duration = ms(60_000);
/// A part is what a slow link carries in so many milliseconds.
const PART_MS: u64 = 500;

/// An envelope on its way over a slow link.
pub struct InParts {
    header: EnvelopeHeader,
    /// Bytes that have not been sent.
    left: usize,
    /// How many parts have.
    sent: u64,
    /// When the first of them arrives.
    begins: Time,
    silence: Silence,
}

impl World {
    /// Sends an envelope; a copy for its sender comes back at once.
    pub(super) fn send_envelope(
        &mut self,
        from: MemberId,
        to: &[MemberId],
        handle: EnvelopeHandle,
    ) -> Option<Input> {
        let header = self.process(from)?.worker.envelope(handle);
        let Device { replays, withholds, .. } = self.members[&from].device;
        if withholds && header.label.kind == EnvelopeKind::Update {
            self.tally.evil(Evil::Withheld);
            return None;
        }
        let others: Vec<_> = to.iter().copied().filter(|to| *to != from).collect();
        for to in self.process(from)?.under_way.entry(handle).or_default().begin(&others) {
            self.transfer_begins(from, handle, &header, to);
            if replays {
                self.tally.evil(Evil::Replay);
                let later = self.rng.ms(REPLAY_AFTER);
                self.envelope(from, to, &header, self.rates.model_len as usize, later);
            }
        }
        (to.contains(&from) && header.is_for(from)).then(|| {
            let handle = self.process(from).expect("it runs").worker.name(header.clone());
            Input::Envelope { from, header: Box::new(header), handle }
        })
    }

    fn transfer_begins(
        &mut self,
        from: MemberId,
        handle: EnvelopeHandle,
        header: &EnvelopeHeader,
        to: MemberId,
    ) {
        let (now, len) = (self.now, self.rates.model_len as usize);
        let device = self.way(from, to);
        if device.is_none_or(|device| self.links.bytes_per_ms(from, device, now).is_none()) {
            return self.transfers_at_once(from, handle, header, len, to);
        }
        let Some(process) = self.process(from) else { return };
        let silence = Silence::since(process.local(now), 0);
        let in_parts = InParts { header: header.clone(), left: len, sent: 0, begins: now, silence };
        process.in_parts.insert((handle, to), in_parts);
        self.sends_part(from, handle, to);
    }

    fn transfers_at_once(
        &mut self,
        from: MemberId,
        handle: EnvelopeHandle,
        header: &EnvelopeHeader,
        len: usize,
        to: MemberId,
    ) {
        match self.envelope(from, to, header, len, Duration::ZERO) {
            Some(after) => self.schedule(after, from, Happening::TransferEnds { handle, to }),
            None => self.transfer_fails(from, handle, to),
        }
    }

    /// Sends what is left of an envelope; after which time it has arrived, or broken off. `None` when nobody is reached.
    pub(super) fn envelope(
        &mut self,
        from: MemberId,
        to: MemberId,
        header: &EnvelopeHeader,
        len: usize,
        later: Duration,
    ) -> Option<Duration> {
        let to = self.way(from, to)?;
        let (rates, rng, tally) = (&self.rates, &mut self.rng, &mut self.tally);
        let after = self.network.stream(len, rates, rng, tally);
        let half = later + after.unwrap_or(BROKEN_AFTER) / 2;
        self.arrival(half, from, to, header, Arrival::Begins);
        match after {
            Some(after) => self.envelope_arrives(later + after, from, to, header),
            None => self.arrival(later + BROKEN_AFTER, from, to, header, Arrival::Breaks),
        }
        Some(later + after.unwrap_or(BROKEN_AFTER))
    }

    fn envelope_arrives(&mut self, after: Duration, from: MemberId, to: MemberId, header: &EnvelopeHeader) {
        let (from, envelope) = (self.members[&from].identity.key(), Box::new(header.clone()));
        self.schedule(after, to, Happening::Envelope { from, envelope });
    }

    fn arrival(
        &mut self,
        after: Duration,
        from: MemberId,
        to: MemberId,
        header: &EnvelopeHeader,
        arrival: Arrival,
    ) {
        let (from, content) = (self.members[&from].identity.key(), header.label.content);
        self.schedule(after, to, Happening::Arrival { from, content, arrival });
    }

    // Over slow links.

    /// The next part of an envelope is sent, or the rest, where the link is not slow any more.
    pub(super) fn sends_part(&mut self, from: MemberId, handle: EnvelopeHandle, to: MemberId) {
        let now = self.now;
        let device = self.way(from, to);
        let Some(process) = self.process(from) else { return };
        let local = process.local(now);
        let Some(mut in_parts) = process.in_parts.remove(&(handle, to)) else { return };
        let Some(device) = device else {
            return self.waits_for_a_way(from, handle, to, in_parts);
        };
        let Some(bytes_per_ms) = self.links.bytes_per_ms(from, device, now) else {
            return self.transfers_at_once(from, handle, &in_parts.header, in_parts.left, to);
        };
        let part = in_parts.left.min((bytes_per_ms * PART_MS) as usize);
        let after = self.links.bulk(from, device, part, now);
        if in_parts.sent == 0 {
            self.tally.saw(Sometimes::SentInParts);
            in_parts.begins = now + after;
            self.arrival(after, from, device, &in_parts.header, Arrival::Begins);
        }
        (in_parts.left, in_parts.sent) = (in_parts.left - part, in_parts.sent + 1);
        if in_parts.left == 0 {
            self.envelope_arrives(after, from, device, &in_parts.header);
            return self.schedule(after, from, Happening::TransferEnds { handle, to });
        }
        in_parts.silence.is_too_long(local, in_parts.sent);
        self.next_part(after, from, handle, to, in_parts);
    }

    fn next_part(
        &mut self,
        after: Duration,
        from: MemberId,
        handle: EnvelopeHandle,
        to: MemberId,
        in_parts: InParts,
    ) {
        let Some(process) = self.process(from) else { return };
        process.in_parts.insert((handle, to), in_parts);
        self.schedule(after, from, Happening::SendsPart { handle, to });
    }

    /// The rest of an envelope is kept for a way that opens again soon.
    fn waits_for_a_way(
        &mut self,
        from: MemberId,
        handle: EnvelopeHandle,
        to: MemberId,
        mut in_parts: InParts,
    ) {
        let now = self.now;
        let Some(process) = self.process(from) else { return };
        if !in_parts.silence.is_too_long(process.local(now), in_parts.sent) {
            return self.next_part(BROKEN_AFTER, from, handle, to, in_parts);
        }
        process.transfer_ends(handle, to);
        self.breaks(from, to, &in_parts);
    }

    /// The receiver of an envelope notices that no more of it comes.
    pub(super) fn breaks(&mut self, from: MemberId, to: MemberId, in_parts: &InParts) {
        if let Some(device) = self.dialled(from, to).filter(|_| in_parts.sent > 0) {
            // What has not even begun to arrive cannot break off yet.
            let begins = in_parts.begins.saturating_since(self.now);
            self.arrival(begins + BROKEN_AFTER, from, device, &in_parts.header, Arrival::Breaks);
        }
    }

    /// Envelopes are withdrawn, or their sender is about to lose power: their receivers notice.
    pub(super) fn sent_in_parts_breaks(&mut self, id: MemberId, which: impl Fn(EnvelopeHandle) -> bool) {
        let Some(process) = self.process(id) else { return };
        let broken: Vec<_> = process.in_parts.extract_if(.., |(handle, _), _| which(*handle)).collect();
        for ((_, to), in_parts) in broken {
            self.breaks(id, to, &in_parts);
        }
    }

    // Where nobody is.

    /// Nobody is there. Mostly that is noticed soon; sometimes the transport believes that answers are only slow.
    fn transfer_fails(&mut self, from: MemberId, handle: EnvelopeHandle, to: MemberId) {
        if !self.rng.percent(STALLS) {
            return self.schedule(BROKEN_AFTER, from, Happening::TransferEnds { handle, to });
        }
        let now = self.now;
        let Some(process) = self.process(from) else { return };
        let local = process.local(now);
        process.stalled.insert((handle, to), (Silence::since(local, 0), local));
    }

    /// Gives up transfers whose other ends have been silent for long.
    pub(super) fn look_at_transfers(&mut self, id: MemberId) {
        let now = self.now;
        let Some(process) = self.process(id) else { return };
        let local = process.local(now);
        let silent = process
            .stalled
            .iter_mut()
            .filter_map(|(transfer, (silence, _))| silence.is_too_long(local, 0).then_some(*transfer));
        let over: Vec<_> = silent.collect();
        over.into_iter().for_each(|(handle, to)| process.transfer_ends(handle, to));
        let begun = process.stalled.values().map(|(_, begun)| *begun).min();
        let lasts = begun.map_or(Duration::ZERO, |begun| local.saturating_since(begun));
        assert!(
            lasts < TRANSFERS_END_WITHIN,
            "transfers end: one of {id} has been waited for {lasts:?}, and nobody is there"
        );
    }
}
