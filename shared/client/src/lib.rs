//! Clients of the dictionary, over TCP and MessagePack.
//!
//! A [`ClusterClient`] asks any member anything, which passes changes on to the leader; it tries again elsewhere after a pause
//! that grows, and says of every failure whether something was changed. On it stands the [`DistributedDict`], a
//! dictionary whose reads are as fresh as its [`Refresh`] says, and whose changes each count once: they carry a
//! [`Session`], so that repeating one is safe. [`blocking`] has both for programs without an executor.
//!
//! ```no_run
//! use rafty_client::blocking::DistributedDict;
//!
//! let mut lamps = DistributedDict::new(["127.0.0.1:7400"])?;
//! lamps.insert("kitchen", &true)?;
//! let kitchen: Option<bool> = lamps.get("kitchen")?;
//! # Ok::<(), rafty_client::ClientError>(())
//! ```
//!
//! From another machine [`ClusterClient::with_token`] speaks TLS, and knows members by their knowing the token.
//!
//! What goes over the wire is in [`rafty_wire::client`]. Only a [`Connection`] is kept between two requests. Nothing here
//! joins the peer set; without a token nothing is encrypted or authenticated.

mod address;
pub mod blocking;
mod connection;
mod dictionary;
mod error;
mod exchange;
mod freshness;
mod members;
mod requests;
mod retry_policy;
mod secure;
mod session;
mod value;
mod verdict;

pub use connection::Connection;
pub use dictionary::DistributedDict;
pub use error::ClientError;
pub use freshness::Refresh;
pub use rafty_wire::client::{Address, Ask, Change, ConfigAction, Consistency, Diagnostic};
pub use requests::{ClusterClient, Reading, State};
pub use retry_policy::Limits;
pub use session::Session;
pub use value::Value;
