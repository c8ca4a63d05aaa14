//! What can go wrong, whether anything was changed, and what to try next.

/// Why a client did not get what it asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Not an address.
    #[error("`{0}` is not the address of a member; nothing was asked; write HOST:PORT")]
    BadAddress(String),
    /// No address at all.
    #[error("no address of a member was given; nothing was asked; name at least one, as HOST:PORT")]
    NoAddress,
    /// Not a client's token.
    #[error("{0}; nothing was asked")]
    BadToken(String),
    /// Nobody answered.
    #[error("no member answered ({0}); nothing was changed; check the addresses, and that members run")]
    Unreachable(String),
    /// Members answered a read, but no leader with a majority confirmed it.
    #[error(
        "no quorum reachable: no member could confirm the read ({0}); nothing was changed; \
         try again when most voters run, or ask for a stale read"
    )]
    NoQuorum(String),
    /// Members answered, but none leads.
    #[error("no leader was found ({0}); nothing was changed; try again when most voters run")]
    NoLeader(String),
    /// The change was sent, and what became of it is not known.
    #[error("the change may or may not count ({0}); read before you repeat it")]
    UnknownOutcome(String),
    /// A member understood, and will not. Nothing was changed.
    #[error("refused, {code}: {detail}")]
    Refused {
        /// Why, as a word for programs.
        code: String,
        /// Why, for people.
        detail: String,
    },
    /// Not a value of MessagePack.
    #[error("the value cannot be written as MessagePack: {0}; nothing was changed")]
    Encode(String),
    /// A value of another type than was asked for.
    #[error("the value is not of the type asked for: {0}; nothing was changed; look at its bytes")]
    Decode(String),
}

impl ClientError {
    pub(crate) fn refused(code: &str, detail: impl ToString) -> Self {
        Self::Refused { code: code.to_string(), detail: detail.to_string() }
    }
}
