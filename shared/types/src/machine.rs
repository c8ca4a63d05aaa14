//! What a replicated log drives.

use crate::{Digest, Index, Term};

/// A deterministic machine: the same commands in the same order give the same state on every peer.
///
/// An implementation must not read a clock, draw randomness, depend on the order of a hash map, or use floating
/// point in a decision. A node runs two: the fixed control part and a user machine.
///
/// A node clones its machine for each snapshot and digest, which are then made on another thread while the machine goes
/// on. What is large should be shared between clones, say behind an `Arc` or in a persistent map.
///
/// ```
/// use rafty_types::{Digest, Index, RestoreError, StateMachine, Term};
///
/// #[derive(Clone, Default)]
/// struct Counter(u64);
///
/// impl StateMachine for Counter {
///     fn apply(&mut self, _: Index, _: Term, command: &[u8]) -> Vec<u8> {
///         self.0 += command.len() as u64;
///         self.0.to_le_bytes().to_vec()
///     }
///     fn snapshot(&self) -> Vec<u8> {
///         self.0.to_le_bytes().to_vec()
///     }
///     fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
///         self.0 = u64::from_le_bytes(snapshot.try_into().map_err(|_| RestoreError("8 bytes expected".into()))?);
///         Ok(())
///     }
///     fn digest(&self) -> Digest {
///         Digest::of(&self.snapshot())
///     }
/// }
///
/// let mut counter = Counter::default();
/// assert_eq!(counter.apply(Index(1), Term(1), b"abc"), 3u64.to_le_bytes());
/// ```
pub trait StateMachine: Clone + Send + 'static {
    /// Applies one committed command and returns its result. Any bytes must be handled: a command that makes no
    /// sense changes nothing and says so in its result.
    fn apply(&mut self, index: Index, term: Term, command: &[u8]) -> Vec<u8>;

    /// The whole state as bytes.
    fn snapshot(&self) -> Vec<u8>;

    /// Replaces the whole state.
    ///
    /// # Errors
    /// When `snapshot` is not something [`snapshot`](Self::snapshot) made. The state is then unchanged.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError>;

    /// A digest of the whole state, equal on peers that applied the same log: a member whose digest differs from that of a
    /// majority stops. It must not depend on how the state came about, say by a restored snapshot.
    fn digest(&self) -> Digest;
}

/// A snapshot could not be read. The machine is unchanged; fetch another snapshot from the leader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot is not readable: {0}")]
pub struct RestoreError(pub String);
