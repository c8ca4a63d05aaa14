//! One pure machine out of three: consensus, the replicated state, and rounds.
//!
//! A [`Node`] is told what happened ([`Input`]) and when, and answers with what may be done ([`Output`]). It decides
//! about metadata only: weights, envelopes and models pass as handles and digests, and whatever is heavy leaves as
//! [`rafty_rounds::Work`], or as a [`FrozenState`]. The simulator and the shell drive exactly this code.
//!
//! It has no clock, no socket, no disk and no thread, and it knows nothing of QUIC, burn or RSA.

mod apply;
mod diagnostic;
mod disk_troubles;
mod dispatch;
mod divergence;
mod event;
mod frozen;
mod heard_starts;
mod io;
mod issuer;
mod knocks;
mod leader;
mod lone_voter;
mod node;
pub mod recovery;
mod requests;
mod roster;
mod round_driver;
mod search;
mod starts;
mod status;
mod transfers;
mod voters;
mod wall_clocks;
mod whereabouts;

pub use diagnostic::{Diagnostic, LeaderDiagnostic};
pub use event::{Event, IF_MOVED, copied_in_words};
pub use frozen::{FrozenState, ReadState, UnreadState};
pub use io::{Boot, Input, Output, Request, TenureKey};
pub use knocks::Knocks;
pub use node::{Node, StartError};
pub use requests::{Answer, DEFAULT_TIMEOUT, MAX_REQUESTS, RequestId};
pub use search::Search;
pub use status::{
    GivenUpLine, MemberLine, OpenLine, PastTenure, RestLine, RoundLine, RunLine, Status, TenureLine,
};
pub use transfers::{Silence, UnderWay};
pub use whereabouts::{RemoteAddress, Whereabouts, is_worth_telling};
