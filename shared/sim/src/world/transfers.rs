//! Transfers to where nobody is.

use super::perform::BROKEN_AFTER;
use super::{Happening, World, ms};
use rafty_node::Silence;
use rafty_rounds::EnvelopeHandle;
use rafty_types::MemberId;
use std::time::Duration;

/// How many in a hundred are not noticed to be so.
const STALLS: u64 = 10;
/// How long one may be waited for at most. Transports look once a second.
const TRANSFERS_END_WITHIN: Duration = ms(60_000);

impl World {
    /// Nobody is there. Mostly that is noticed soon; sometimes the transport believes that answers are only slow.
    pub(super) fn transfer_fails(&mut self, from: MemberId, handle: EnvelopeHandle, to: MemberId) {
        if !self.dice.percent(STALLS) {
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
