//! Whether the port is free, and how well members are reached.

use super::Finding;
use crate::settings::Settings;
use crate::{discovery, place, status};
use rafty_runtime::net::{Path as Route, probe};
use rafty_runtime::{MemberFile, is_of_this_machine};
use rafty_seal::Token;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// How long members are looked for on the local network.
const SEARCH: Duration = Duration::from_secs(3);
/// How many addresses are tried.
const MAX_PEERS: usize = 32;
/// A round trip that elections have to stretch for.
const SLOW: Duration = Duration::from_millis(100);
/// How long a running member has for its status.
const STATUS_WITHIN: Duration = Duration::from_secs(3);

pub(super) fn port(dir: &Path, settings: &Settings) -> Finding {
    let as_before = MemberFile::read(dir).ok().map(|member| member.listen);
    let listen = settings.listen.or(as_before).unwrap_or_else(place::listen);
    if let Ok(status) = status::fetch(dir, STATUS_WITHIN) {
        return Finding::ok("port", format!("the running member listens on UDP {}", status.listen));
    }
    match UdpSocket::bind(listen) {
        Ok(_) => Finding::ok("port", format!("UDP {listen} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Finding::problem(
            "port",
            format!("UDP {listen} is taken"),
            "end the program that has it, or set `listen` to another port",
        ),
        Err(error) => Finding::problem(
            "port",
            format!("UDP {listen}: {error}"),
            "set `listen` to an address of this device",
        ),
    }
}

pub(super) fn peers(dir: &Path, settings: &Settings) -> Vec<Finding> {
    let known = match known(dir, settings) {
        Ok(known) => known,
        Err(finding) => return vec![finding],
    };
    // Where this device itself answers nobody else is found.
    let own_port = MemberFile::read(dir).ok().map(|member| member.listen.port());
    let is_own = |address: &SocketAddr| own_port == Some(address.port()) && is_of_this_machine(address.ip());
    let (own, others): (Vec<_>, Vec<_>) = known.into_iter().partition(is_own);
    // Each takes seconds, and none waits for another.
    let tried: Vec<_> = others
        .into_iter()
        .take(MAX_PEERS)
        .map(|address| (address, thread::spawn(move || probe(address))))
        .collect();
    let tried = tried.into_iter().map(|(address, route)| reached(address, route.join().ok().flatten()));
    own.into_iter().map(leads_here).chain(tried).collect()
}

fn leads_here(address: SocketAddr) -> Finding {
    Finding::problem(
        "peer",
        format!("{address}, where another member is said to be, is this device itself"),
        "start that member with `up --advertise HOST:PORT`, where the others reach it",
    )
}

fn reached(address: SocketAddr, route: Option<Route>) -> Finding {
    let Some(Route { round_trip, sent, lost }) = route else {
        let fix =
            "check that a member runs there, that UDP is let through to it, and that the address is right";
        return Finding::problem("peer", format!("{address} does not answer"), fix);
    };
    let found = format!(
        "{address}: round trip {:.1} ms, {lost} of {sent} datagrams lost",
        round_trip.as_secs_f64() * 1e3
    );
    if lost * 10 > sent {
        return Finding::warning(
            "peer",
            found,
            "the link is poor: elections and rounds take longer; move closer or use a cable",
        );
    }
    match round_trip > SLOW {
        true => Finding::warning("peer", found, "the link is slow: election timeouts are stretched for it"),
        false => Finding::ok("peer", found),
    }
}

/// Those of the roster; for a newcomer those that are set, or found.
fn known(dir: &Path, settings: &Settings) -> Result<Vec<SocketAddr>, Finding> {
    if let Ok(member) = MemberFile::read(dir) {
        let others = member.members.iter().filter(|other| other.id != member.member);
        return Ok(others.filter_map(|other| other.addresses.first().copied()).collect());
    }
    if !settings.peers.is_empty() {
        let resolved: Result<Vec<_>, _> = settings.peers.iter().map(|peer| place::resolve(peer)).collect();
        return resolved.map_err(|failure| {
            Finding::problem("peer", failure.message, "set `peers` to addresses that are known here")
        });
    }
    let fix = "set `peers` to the address that `rafty token create` printed";
    let Some(token) = settings.token.as_ref().and_then(|token| token.0.parse::<Token>().ok()) else {
        return Err(Finding::problem("peer", "none is set, and without a token none can be looked for", fix));
    };
    if !settings.discover {
        return Err(Finding::problem("peer", "none is set, and `discover` is off", fix));
    }
    match discovery::search(token.cluster, token.responder, SEARCH) {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Finding::problem("peer", "none answers on the local network (mDNS)", fix)),
        Err(why) => {
            Err(Finding::problem("peer", format!("the local network cannot be searched: {why}"), fix))
        }
    }
}
