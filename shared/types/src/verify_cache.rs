//! Remembers which signatures were checked, for the simulator: all members of a simulated set check the same signatures
//! one after the other in one thread, and that took an eighth of its time.
//!
//! A thread remembers nothing until it calls [`enable`], and members never do. So it makes no difference to a program
//! in which this feature is switched on because the simulator is built along with it.

use crate::{Digest, PeerKey, Signature};
use std::cell::RefCell;
use std::collections::HashMap;

/// Results that are remembered; then all are forgotten.
const MAX_RESULTS: usize = 20_000;

thread_local! {
    static RESULTS: RefCell<Option<HashMap<Digest, bool>>> = const { RefCell::new(None) };
}

/// This thread remembers results from now on.
pub fn enable() {
    RESULTS.with_borrow_mut(|results| *results = Some(HashMap::new()));
}

/// The result of this check, by `check` if it is not remembered.
pub(crate) fn lookup(
    key: &PeerKey,
    message: &[u8],
    signature: &Signature,
    check: impl FnOnce() -> bool,
) -> bool {
    RESULTS.with_borrow_mut(|results| {
        let Some(results) = results else { return check() };
        if results.len() >= MAX_RESULTS {
            results.clear();
        }
        *results.entry(name(key, message, signature)).or_insert_with(check)
    })
}

/// Key and signature have a fixed length, so that nothing else has this digest.
fn name(key: &PeerKey, message: &[u8], signature: &Signature) -> Digest {
    Digest::of(&[&key.0[..], &signature.to_bytes(), message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_remembered_for_these_bytes_only_and_only_once_enabled() {
        let (key, signature) = (PeerKey([1; 32]), Signature::default());
        let looked_up = |message: &[u8], result| lookup(&key, message, &signature, || result);
        assert!(looked_up(b"one", true));
        assert!(!looked_up(b"one", false), "nothing is remembered before");
        enable();
        assert!(looked_up(b"one", true));
        assert!(looked_up(b"one", false), "remembered");
        assert!(!looked_up(b"two", false));
        assert!(!lookup(&PeerKey([2; 32]), b"one", &signature, || false));
    }
}
