//! What a dialler calls the peer set in its handshake, so that two sets, or two epochs of one, never mix.
//!
//! A member names set and epoch; a newcomer may know only the set.

use rafty_types::hex::{Hex, parse};
use rafty_types::{ClusterId, Epoch, SetId};

const DOMAIN: &str = ".rafty.internal";

/// The name of a set in its epoch.
pub(super) fn of_set(set: SetId) -> String {
    format!("{}.{}{DOMAIN}", Hex(&set.cluster.0), of_epoch(set.epoch))
}

/// The name of a set for somebody who does not know its epoch.
pub(super) fn of_cluster(cluster: ClusterId) -> String {
    format!("{}{DOMAIN}", Hex(&cluster.0))
}

/// An epoch in letters and digits; [`epoch_in`] reads it back.
pub(super) fn of_epoch(epoch: Epoch) -> String {
    format!("e{}.{}.{}", epoch.number, Hex(&epoch.bits), Hex(&epoch.parent))
}

/// The epoch in a name of `cluster`; the inner `None` when the name has none, the outer when it is of another set.
pub(super) fn read(name: &str, cluster: ClusterId) -> Option<Option<Epoch>> {
    let rest = name.strip_suffix(DOMAIN)?.strip_prefix(&Hex(&cluster.0).to_string())?;
    if rest.is_empty() {
        return Some(None);
    }
    epoch_in(rest.strip_prefix('.')?).map(Some)
}

/// Reads what [`of_epoch`] wrote.
pub(super) fn epoch_in(text: &str) -> Option<Epoch> {
    let mut parts = text.split('.');
    let number = parts.next()?.strip_prefix('e')?.parse().ok()?;
    let (bits, parent) = (parse(parts.next()?)?, parse(parts.next()?)?);
    let epoch = Epoch { number, bits, parent };
    (parts.next().is_none() && of_epoch(epoch) == text).then_some(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: ClusterId = ClusterId([7; 16]);

    #[test]
    fn names_read_back_and_nothing_else_does() {
        let epoch = Epoch { number: u64::MAX, ..Epoch::first(CLUSTER).recovered([3; 16]) };
        let name = of_set(SetId { cluster: CLUSTER, epoch });
        assert_eq!(read(&name, CLUSTER), Some(Some(epoch)));
        assert_eq!(read(&of_cluster(CLUSTER), CLUSTER), Some(None));
        assert_eq!(read(&name, ClusterId([8; 16])), None);
        let text = of_epoch(epoch);
        for wrong in ["", "e1", "e1.00.00", &text[1..], &format!("{text}.00"), &text.replacen('e', "e0", 1)] {
            assert_eq!(epoch_in(wrong), None, "{wrong}");
        }
        assert!(rustls::pki_types::ServerName::try_from(name).is_ok(), "TLS takes it for a name");
    }
}
