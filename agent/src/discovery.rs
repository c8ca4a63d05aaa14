//! Finding members on the local network, and being found there: DNS-SD over multicast DNS (RFC 6762, RFC 6763).
//!
//! What is announced is what every device on the network may know: that a member is here, of which peer set, and the
//! hash of its key. Nobody is believed for it: a newcomer checks the key of whom it asks.
//!
//! It finds addresses only; joining is elsewhere. Members that know each other do not need it.

use mdns_sd::{IfKind, ServiceDaemon, ServiceEvent, ServiceInfo};
use rafty_runtime::MemberFile;
use rafty_runtime::net::Sighting;
use rafty_types::hex::{Hex, parse};
use rafty_types::{ClusterId, PeerKey};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

const SERVICE: &str = "_rafty._udp.local.";
/// How many addresses are taken at most, of one that answers and of all that say they are the one that is sought: anybody may
/// say that.
const MAX_OF_ONE: usize = 8;
const MAX_FOUND: usize = 64;
/// How many addresses of all members together.
const MAX_ALL: usize = 128;
/// How long the rest of an answer may take.
const ANSWERS_WITHIN: Duration = Duration::from_millis(300);

/// Keeps a member findable until it is dropped.
pub(crate) struct Announcement(ServiceDaemon);

impl Drop for Announcement {
    fn drop(&mut self) {
        // Others forget it by themselves after a while.
        let _ = self.0.shutdown();
    }
}

/// Lets newcomers on the local network find `member`, unless it listens on this machine only.
///
/// # Errors
/// In words, when the network does not allow it. The member works all the same.
pub(crate) fn announce(member: &MemberFile) -> Result<Option<Announcement>, String> {
    let Some(own) = member.members.iter().find(|other| other.id == member.member) else { return Ok(None) };
    if member.listen.ip().is_loopback() {
        return Ok(None);
    }
    let properties = properties(member.cluster, &own.key);
    let key = &properties[1].1;
    let (instance, host) =
        (format!("member-{}-{}", member.member, &key[..8]), format!("rafty-{}.local.", &key[..16]));
    let fixed = Some(member.listen.ip()).filter(|ip| !ip.is_unspecified());
    let addresses = fixed.map_or(String::new(), |ip| ip.to_string());
    let service =
        ServiceInfo::new(SERVICE, &instance, &host, &addresses[..], member.listen.port(), &properties[..])
            .map_err(|error| error.to_string())?;
    let service = if fixed.is_none() { service.enable_addr_auto() } else { service };
    let daemon = ServiceDaemon::new().map_err(|error| error.to_string())?;
    if member.listen.is_ipv4() {
        // It would be found at addresses it does not listen on.
        daemon.disable_interface(IfKind::IPv6).map_err(|error| error.to_string())?;
    }
    daemon.register(service).map_err(|error| error.to_string())?;
    Ok(Some(Announcement(daemon)))
}

/// Looks for the member of `cluster` whose key has this hash, for as long as `patience`, and gives its addresses: IPv4
/// first, since members listen on IPv4 by default. None when nobody answers.
///
/// # Errors
/// In words, when the network does not allow to ask.
pub(crate) fn search(
    cluster: ClusterId,
    key_hash: [u8; 16],
    patience: Duration,
) -> Result<Vec<SocketAddr>, String> {
    let mut found = BTreeSet::new();
    listen_for(cluster, patience, |sighting| {
        let is_it = sighting.key_hash == Some(key_hash);
        is_it && found.len() < MAX_FOUND && found.insert(sighting.address)
    })?;
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|address| (address.is_ipv6(), *address));
    Ok(found)
}

/// Looks for all members of `cluster`, for as long as `patience`.
///
/// # Errors
/// In words, when the network does not allow to ask.
pub(crate) fn search_all(cluster: ClusterId, patience: Duration) -> Result<Vec<Sighting>, String> {
    let mut found = Vec::new();
    listen_for(cluster, patience, |sighting| {
        if found.len() < MAX_ALL && !found.contains(&sighting) {
            found.push(sighting);
        }
        false
    })?;
    Ok(found)
}

/// Asks for members and hands out each address of each that answers, until `patience` is over, or shortly after one was
/// `wanted`: its other addresses come in answers of their own.
fn listen_for(
    cluster: ClusterId,
    patience: Duration,
    mut wanted: impl FnMut(Sighting) -> bool,
) -> Result<(), String> {
    let mut until = Instant::now() + patience;
    let daemon = ServiceDaemon::new().map_err(|error| error.to_string())?;
    let events = daemon.browse(SERVICE).map_err(|error| error.to_string())?;
    while let Ok(event) = events.recv_deadline(until) {
        let ServiceEvent::ServiceResolved(service) = event else { continue };
        if service.get_property_val_str("cluster") != Some(&Hex(&cluster.0).to_string()) {
            continue;
        }
        // Without a key, or with one that is none, it is nobody's.
        let Some(key_hash) = service.get_property_val_str("key").and_then(parse) else { continue };
        let addresses = service.get_addresses().iter().map(|ip| ip.to_ip_addr());
        for ip in addresses.filter(|ip| !is_local_to_a_link(*ip)).take(MAX_OF_ONE) {
            let address = SocketAddr::new(ip, service.port);
            if wanted(Sighting { key_hash: Some(key_hash), address }) {
                until = until.min(Instant::now() + ANSWERS_WITHIN);
            }
        }
    }
    let _ = daemon.shutdown();
    Ok(())
}

/// Such an address means nothing without the name of a link.
fn is_local_to_a_link(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn properties(cluster: ClusterId, key: &PeerKey) -> [(&'static str, String); 2] {
    [("cluster", Hex(&cluster.0).to_string()), ("key", Hex(&rafty_seal::short_hash(key)).to_string())]
}
