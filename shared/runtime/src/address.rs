//! Where others reach this member, and telling them when that changes: a device gets another address from its network,
//! or starts on another port.
//!
//! Connections that stand survive a change by themselves (QUIC migrates them); this is for whoever dials later.

use crate::machine::UserMachine;
use crate::member::MemberFile;
use crate::shell::{Happening, Shell};
use rafty_node::{Input, Request};
use rafty_types::{Command, ControlCommand, address_statement};
use smol::channel::Sender;
use smol::{Executor, Timer};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// How often this member looks where it is. A change that could not be committed is told again then.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a change of address may take to be committed.
const COMMIT_WITHIN: Duration = Duration::from_secs(5);

/// Looks where this member is, for as long as the loop goes on.
pub(crate) fn watch_address(
    executor: &Arc<Executor<'static>>,
    member: MemberFile,
    loop_back: Sender<Happening>,
) {
    let watch = async move {
        loop {
            Timer::after(LOOK_EVERY).await;
            if loop_back.send(Happening::Located(own_address(&member))).await.is_err() {
                return;
            }
        }
    };
    executor.spawn(watch).detach();
}

impl<U: UserMachine> Shell<U> {
    /// Tells the peer set where this member is now, unless it knows.
    pub(crate) fn located(&mut self, address: SocketAddr) -> Option<Input> {
        let known = self.node.state().control().member(self.me)?;
        // The set does not follow a copy: of two with one identity, each would call it to itself.
        if known.addresses == [address] || !self.node.is_counted() {
            return None;
        }
        self.narrator.say(&format!("this member is at {address} now; the others are told"));
        let addresses = vec![address];
        let statement = address_statement(self.bench.set, self.me, &addresses);
        let signature = self.bench.secrets.identity.sign(&statement);
        let command =
            Command::Control(ControlCommand::AddressChanged { member: self.me, addresses, signature });
        Some(self.own_request(Request::Commit { session: None, command }, COMMIT_WITHIN))
    }
}

/// What this member advertises, or else where it listens, or the address it has towards the others.
pub(crate) fn own_address(member: &MemberFile) -> SocketAddr {
    let other = member.members.iter().find(|other| other.id != member.member);
    let towards = other.and_then(|other| other.addresses.first()).copied();
    member.advertise.unwrap_or_else(|| reachable(member.listen, towards))
}

/// Where others reach a member: where it listens, or the address it has towards `peer`.
pub(crate) fn reachable(listen: SocketAddr, peer: Option<SocketAddr>) -> SocketAddr {
    if !listen.ip().is_unspecified() {
        return listen;
    }
    // Connecting a UDP socket sends nothing; it only asks the system for the route. The fallback is a documentation
    // address (RFC 5737): any address beyond this network gives the route out of it.
    let towards = peer.unwrap_or_else(|| SocketAddr::from(([192, 0, 2, 1], 9)));
    let local = UdpSocket::bind(SocketAddr::new(listen.ip(), 0))
        .and_then(|socket| socket.connect(towards).and_then(|()| socket.local_addr()));
    let ip = local.map_or(IpAddr::from([127, 0, 0, 1]), |local| local.ip());
    SocketAddr::new(ip, listen.port())
}
