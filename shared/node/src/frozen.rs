//! The replicated state for a worker thread: bringing it into bytes, digesting it and reading it takes long.
//!
//! What is heavy is done by whoever holds these values, not by the node. It does not know threads.

use rafty_dictionary::Replicated;
use rafty_types::{Digest, Index, RestoreError, StateMachine};
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// The replicated state as it was at one index. Made without copying what a user machine shares between its clones.
pub struct FrozenState {
    index: Index,
    state: Box<dyn AnyState>,
}

impl FrozenState {
    /// Of this state.
    pub fn of<U: StateMachine>(state: &Replicated<U>) -> Self {
        Self { index: state.applied(), state: Box::new(state.clone()) }
    }

    /// The last entry that was applied to it.
    pub fn index(&self) -> Index {
        self.index
    }

    /// The whole state in bytes. Takes long.
    pub fn snapshot(&self) -> Arc<[u8]> {
        self.state.snapshot()
    }

    /// The same without whatever lets somebody in, for a [backup](Replicated::without_credentials). Takes long.
    pub fn backup(&self) -> Arc<[u8]> {
        self.state.backup()
    }

    /// Its digest. Takes long.
    pub fn digest(&self) -> Digest {
        self.state.digest()
    }
}

impl fmt::Debug for FrozenState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrozenState({})", self.index)
    }
}

/// A snapshot that has arrived, to be read into a state.
pub struct UnreadState {
    bytes: Arc<[u8]>,
    state: Box<dyn AnyState>,
}

impl UnreadState {
    /// `like` is any state of this member: what of it is not in the bytes stays.
    pub(crate) fn new<U: StateMachine>(bytes: Arc<[u8]>, like: &Replicated<U>) -> Self {
        Self { bytes, state: Box::new(like.clone()) }
    }

    /// Reads it. Takes long.
    pub fn read(mut self) -> ReadState {
        let outcome = self.state.restore(&self.bytes);
        ReadState(outcome.map(|()| self.state.into_any()))
    }
}

impl fmt::Debug for UnreadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnreadState({} bytes)", self.bytes.len())
    }
}

/// A snapshot that was read, or why it cannot be.
pub struct ReadState(Result<Box<dyn Any + Send>, RestoreError>);

impl ReadState {
    /// A snapshot that could not be read, for this reason.
    pub fn failed(why: &str) -> Self {
        Self(Err(RestoreError(why.into())))
    }

    pub(crate) fn into_state<U: StateMachine>(self) -> Result<Replicated<U>, RestoreError> {
        let other = |_| RestoreError("it is that of another machine".into());
        self.0.and_then(|state| state.downcast::<Replicated<U>>().map(|state| *state).map_err(other))
    }
}

impl fmt::Debug for ReadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadState").field(&self.0.as_ref().map(drop)).finish()
    }
}

/// A state whatever its user machine is.
trait AnyState: Send {
    fn snapshot(&self) -> Arc<[u8]>;
    fn backup(&self) -> Arc<[u8]>;
    fn digest(&self) -> Digest;
    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError>;
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

impl<U: StateMachine> AnyState for Replicated<U> {
    fn snapshot(&self) -> Arc<[u8]> {
        Replicated::snapshot(self).into()
    }

    fn backup(&self) -> Arc<[u8]> {
        self.without_credentials().snapshot().into()
    }

    fn digest(&self) -> Digest {
        Replicated::digest(self)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        Replicated::restore(self, bytes)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
