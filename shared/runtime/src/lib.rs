//! The shell around rafty's pure machines.
//!
//! [`net`] carries frames, envelopes and snapshots between peers.
//!
//! Nothing here decides: what is sent, believed or stored is the machines' business.

pub mod net;
