//! Where others reach this member, and telling them when that changes: a device gets another address from its network,
//! or starts on another port.
//!
//! Connections that this member dialled follow it by themselves (QUIC migrates them), and whoever hears it over one of them
//! dials it anew where it is seen; this is for whoever dials later.

use crate::machine::UserMachine;
use crate::member::MemberFile;
use crate::shell::{LoopEvent, Shell};
use rafty_node::{Input, Request, is_worth_telling};
use rafty_types::{Command, ControlCommand};
use smol::channel::Sender;
use smol::{Executor, Timer};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
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
    loop_back: Sender<LoopEvent>,
) {
    let watch = async move {
        loop {
            Timer::after(LOOK_EVERY).await;
            let member = member.clone();
            // A name is asked for, which may take seconds.
            let own = smol::unblock(move || own_address(&member)).await;
            if let Some(own) = own
                && loop_back.send(LoopEvent::Located(own)).await.is_err()
            {
                return;
            }
        }
    };
    executor.spawn(watch).detach();
}

impl<U: UserMachine> Shell<U> {
    /// Tells the peer set where this member is now, unless it knows.
    pub(crate) fn located(&mut self, address: SocketAddr) -> Option<Input> {
        let members = self.node.state().control().members();
        let known = members.get(&self.me)?;
        let others = members.values().filter(|member| member.id != self.me);
        let is_news = is_worth_telling(address, &known.addresses, others.map(|other| &*other.addresses));
        // The set does not follow a copy: of two with one identity, each would call it to itself.
        if !is_news || !self.node.is_counted() {
            return None;
        }
        self.narrator.say(&format!("this member is at {address} now, and tells the others"));
        let moved = ControlCommand::AddressChanged { member: self.me, addresses: vec![address] };
        let command = Command::Control(moved);
        Some(self.own_request(Request::Commit { client: None, session: None, command }, COMMIT_WITHIN))
    }
}

/// What this member advertises, or else where it listens, or the address it has towards the others. None while it advertises
/// a name that is not known.
pub(crate) fn own_address(member: &MemberFile) -> Option<SocketAddr> {
    if let Some(advertised) = &member.advertise {
        return advertised.address();
    }
    let other = member.members.iter().find(|other| other.id != member.member);
    let towards = other.and_then(|other| other.addresses.first()).copied();
    Some(reachable(member.listen, towards))
}

/// Where others reach a member: where it listens; or, when that is everywhere, the address it has towards `peer`, or
/// towards anywhere else, or on any network. A loopback address only on a machine that is on no network: whoever else
/// was told it would look for the member on itself.
pub(crate) fn reachable(listen: SocketAddr, peer: Option<SocketAddr>) -> SocketAddr {
    if !listen.ip().is_unspecified() {
        return listen;
    }
    // Documentation addresses (RFC 5737, RFC 3849): any beyond this network gives the route out of it.
    let beyond: [IpAddr; 2] =
        [Ipv4Addr::new(192, 0, 2, 1).into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()];
    let peer = peer.map(|peer| peer.ip().to_canonical());
    let found = peer
        .into_iter()
        .chain(beyond)
        .filter(|towards| listen.is_ipv6() || towards.is_ipv4())
        .find_map(local_towards)
        .or_else(|| on_networks().into_iter().find(|ip| listen.is_ipv6() || ip.is_ipv4()));
    let loopback = || if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(found.unwrap_or_else(loopback), listen.port())
}

/// The address of this machine from which it sends to another one. Connecting a UDP socket sends nothing; it only asks
/// the system for the route.
fn local_towards(ip: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(ip, 9)).ok()?;
    let local = socket.local_addr().ok()?.ip();
    (!local.is_loopback() && !local.is_unspecified()).then_some(local)
}

/// The addresses that this machine has on its networks, IPv4 first. Those that mean something on one link only, not.
fn on_networks() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let addresses = interfaces.iter().filter(|one| !one.is_loopback() && !one.is_link_local());
    let mut addresses: Vec<_> = addresses.map(if_addrs::Interface::ip).collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses
}

/// Whether packets to this address do not leave this machine.
pub fn is_of_this_machine(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || on_networks().contains(&ip)
}

/// Whether this machine has addresses of IPv6 and none of IPv4.
pub fn has_only_ipv6() -> bool {
    on_networks().first().is_some_and(IpAddr::is_ipv6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_member_listens_is_where_it_is_unless_that_is_everywhere() {
        let fixed = "127.0.0.1:7400".parse().unwrap();
        assert_eq!(reachable(fixed, None), fixed);
        for everywhere in ["0.0.0.0:7400", "[::]:7400"] {
            for peer in [None, Some("127.0.0.1:7400"), Some("[::ffff:127.0.0.1]:7400"), Some("[::1]:7400")] {
                let own = reachable(everywhere.parse().unwrap(), peer.map(|peer| peer.parse().unwrap()));
                assert_eq!(own.port(), 7400);
                assert!(!own.ip().is_unspecified() && own.ip() == own.ip().to_canonical(), "{own}");
                assert_eq!(own.ip().is_loopback(), on_networks().is_empty(), "{own} towards {peer:?}");
            }
        }
    }
}
