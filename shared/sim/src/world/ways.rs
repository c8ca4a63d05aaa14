//! Where devices are, and how members find each other when that changes.
//!
//! The rules are the shipping ones: [`Whereabouts`], [`RemoteAddress`], [`Search`](rafty_node::Search) and
//! [`is_worth_telling`]. Here is what is around them: connections that follow whoever dialled them and nobody else, names
//! and announcements as they are at the moment, and devices that are on no network for a while.

use super::{PendingReply, Turn, World, ms};
use crate::faults::Who;
use crate::tally::{Evil, Sometimes};
use rafty_node::{RemoteAddress, Request, Whereabouts, is_worth_telling};
use rafty_types::{Command, ControlCommand, MemberId, PeerKey};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A connection is over after so many looks at which nobody was where it leads.
const IDLE_LOOKS: u32 = 3;
/// A member's own address is looked at every so many looks.
const OWN_ADDRESS_LOOKS: u32 = 5;
/// How long it may take to tell a change of it.
const TELL_WITHIN: Duration = ms(5_000);
/// Whoever comes from one place for so many looks is looked for there.
const FOLLOWED_AFTER: u32 = 3;
/// The port of every member on its own device.
const PORT: u16 = 7_000;

/// What helps members that have lost each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// They announce themselves on their network.
    Announcements,
    /// They have names, which lead to where they are.
    Names,
    /// A person, in the end.
    Person,
}

/// One process's way to another device.
#[derive(Default)]
pub struct Way {
    whereabouts: Whereabouts,
    /// Where the connection leads that it dialled, while there is one.
    leads_to: Option<SocketAddr>,
    /// For how many looks nobody has been there.
    idle: u32,
    /// Where the connection comes from that the other one dialled.
    remote: Option<RemoteAddress>,
    /// Where it came from at the last looks, and how many those were.
    came_from: Option<(SocketAddr, u32)>,
}

impl World {
    /// Whether what a member sends gets to where a device is: over the connection that it dialled, or one that it dials now.
    pub(super) fn reaches(&mut self, from: MemberId, to: MemberId) -> bool {
        if self.finding.is_none() {
            return true;
        }
        let (Some(sender), Some(receiver)) = (self.members.get(&from), self.members.get(&to)) else {
            return false;
        };
        let on_network = !sender.away && !receiver.away;
        let (there, key) = (receiver.place, receiver.identity.key());
        let leads_to = sender.process.as_ref().and_then(|process| process.ways.get(&key)?.leads_to);
        on_network && leads_to.map_or_else(|| self.dials(from, to), |at| at == there)
    }

    /// Whether a member has a connection to where a device is.
    pub(super) fn has_found(&self, from: MemberId, to: MemberId) -> bool {
        let (sender, receiver) = (&self.members[&from], &self.members[&to]);
        let way = sender.process.as_ref().and_then(|process| process.ways.get(&receiver.identity.key()));
        let found = way.is_some_and(|way| way.leads_to == Some(receiver.place));
        self.finding.is_none() || found && !sender.away && !receiver.away
    }

    fn dials(&mut self, from: MemberId, to: MemberId) -> bool {
        if !self.runs(to) {
            return false;
        }
        let (there, key) = (self.members[&to].place, self.members[&to].identity.key());
        let sender = self.members.get_mut(&from).expect("it sends");
        let (here, own_key) = (sender.place, sender.identity.key());
        let Some(process) = &mut sender.process else { return false };
        let way = process.ways.entry(key).or_insert_with(|| Way::seen_at(sender.last_seen.get(&key)));
        way.whereabouts.committed_at(process.known_places.get(&key).map_or(&[], Vec::as_slice));
        if !way.whereabouts.candidates().contains(&there) {
            return false;
        }
        way.whereabouts.reached_at(there);
        (way.leads_to, way.idle) = (Some(there), 0);
        sender.last_seen.insert(key, there);
        if self.lets_in(to, from) {
            self.is_dialled(to, own_key, here);
        }
        true
    }

    /// A member is dialled: whoever does so is alive, and was perhaps elsewhere before.
    fn is_dialled(&mut self, id: MemberId, key: PeerKey, from: SocketAddr) {
        let member = self.members.get_mut(&id).expect("it runs");
        let Some(process) = &mut member.process else { return };
        let way = process.ways.entry(key).or_default();
        way.remote = Some(RemoteAddress::new(from));
        way.is_at(from);
        member.last_seen.insert(key, from);
        if let Some(other) = process.roster.get(&key).copied() {
            let broken = process.is_dialled_by(other);
            broken.iter().for_each(|in_parts| self.breaks(id, other, in_parts));
        }
    }

    /// What a member's transport notices every second of where the others are and where it is itself.
    pub(super) fn look_at_ways(&mut self, id: MemberId) {
        let Some(finding) = self.finding else { return };
        self.no_loopback_is_committed(id);
        let process = self.members.get_mut(&id).expect("a member").process();
        process.looks = process.looks.wrapping_add(1);
        let looks_at_own_address = process.looks.is_multiple_of(OWN_ADDRESS_LOOKS);
        self.follow_remote_addresses(id);
        self.give_up_idle_connections(id);
        self.search(id, finding);
        if looks_at_own_address {
            self.tell_own_address(id);
        }
    }

    fn no_loopback_is_committed(&self, id: MemberId) {
        let members = self.node(id).state().control().members().values();
        let loopback =
            members.flat_map(|member| &member.addresses).find(|address| address.ip().is_loopback());
        assert!(loopback.is_none(), "no loopback address is committed: {id} has {loopback:?}");
    }

    /// Connections of others that come from elsewhere now.
    fn follow_remote_addresses(&mut self, id: MemberId) {
        let (here, away) = (self.members[&id].place, self.members[&id].away);
        let key = self.members[&id].identity.key();
        let comes = |other: &MemberId| {
            let member = &self.members[other];
            let way = member.process.as_ref().and_then(|process| process.ways.get(&key));
            let leads_here = way.is_some_and(|way| way.leads_to == Some(here));
            let is_heard = !away && !member.away && self.network.is_open(*other, id);
            *other != id && leads_here && is_heard && self.lets_in(id, *other)
        };
        let others: Vec<_> = self.running().into_iter().filter(comes).collect();
        for other in others {
            let Some(member) = self.members.get(&other) else { continue };
            let (from, other_key) = (member.place, member.identity.key());
            let is_one = !self.twins.contains_key(&other) && !self.twins.contains_key(&id);
            let member = self.members.get_mut(&id).expect("a member");
            let way = member.process().ways.entry(other_key).or_default();
            let Some(remote) = &mut way.remote else {
                // It was let in only now, or dialled the process before.
                self.is_dialled(id, other_key, from);
                continue;
            };
            let in_vain_at = way.whereabouts.last_seen().filter(|_| way.leads_to.is_none());
            if remote.moves_to(from, in_vain_at) {
                way.is_at(from);
                member.last_seen.insert(other_key, from);
                self.tally.saw(Sometimes::MoveFollowed);
            } else if way.keeps_coming_from(from) && is_one && way.leads_to.is_none() {
                let known = way.whereabouts.last_seen();
                assert!(
                    known == Some(from),
                    "moves are followed: {id} hears {other} from {from} and looks for it at {known:?}"
                );
            }
        }
    }

    fn give_up_idle_connections(&mut self, id: MemberId) {
        let on_network = |id: &MemberId| self.runs(*id) && !self.members[id].away;
        let places: BTreeMap<_, _> = self
            .members
            .values()
            .filter(|member| on_network(&member.id) && on_network(&id))
            .map(|member| (member.identity.key(), member.place))
            .collect();
        for (key, way) in &mut self.members.get_mut(&id).expect("a member").process().ways {
            let is_idle = way.leads_to.is_some() && way.leads_to != places.get(key).copied();
            way.idle = if is_idle { way.idle + 1 } else { 0 };
            if way.idle >= IDLE_LOOKS {
                (way.leads_to, way.idle) = (None, 0);
            }
        }
    }

    /// A member without a leader looks for the others.
    fn search(&mut self, id: MemberId, finding: Finding) {
        let now = self.now;
        let member = self.members.get_mut(&id).expect("a member");
        let process = member.process.as_mut().expect("it runs");
        let names = process.node.advertised_names();
        member.last_named.extend(names.map(|(key, name)| (key, name.to_string())));
        process.search.named(member.last_named.clone());
        let (roster, local) = (process.roster.clone(), process.local(now));
        process.search.retain(|key| roster.contains_key(key));
        let has_leader = process.node.consensus().leader().is_some();
        let Some(names) = process.search.due(has_leader, local) else { return };
        process.search.looked(local);
        if member.away {
            return;
        }
        let named = process.search.names().clone();
        let helps = |key: &PeerKey| match finding {
            Finding::Announcements => true,
            Finding::Names => self.healed && !named.contains_key(key),
            Finding::Person => self.healed,
        };
        let devices = self.members.values().filter(|other| other.process.is_some() && !other.away);
        let found: Vec<_> = devices
            .map(|other| (other.identity.key(), &other.name, other.place))
            .filter(|(key, name, _)| helps(key) || names.get(key) == Some(*name))
            .map(|(key, _, place)| (key, place))
            .collect();
        let process = self.members.get_mut(&id).expect("a member").process();
        for (key, place) in found {
            process.ways.entry(key).or_default().whereabouts.sighted_at(vec![place]);
        }
    }

    fn tell_own_address(&mut self, id: MemberId) {
        let member = &self.members[&id];
        let own = if member.away { loopback() } else { member.place };
        let node = self.node(id);
        let control = node.state().control();
        let Some(known) = control.member(id) else { return };
        let others = control.members().values().filter(|other| other.id != id).map(|other| &*other.addresses);
        if !is_worth_telling(own, &known.addresses, others) || !node.is_counted() {
            return;
        }
        let command = Command::Control(ControlCommand::AddressChanged { member: id, addresses: vec![own] });
        self.tally.saw(Sometimes::AddressTold);
        self.ask_as(
            PendingReply::Script,
            id,
            Request::Commit { client: None, session: None, command },
            TELL_WITHIN,
        );
    }

    // As faults.

    /// A device leaves its network, and is elsewhere when it comes back.
    pub(super) fn moves(&mut self, who: Who, away: Duration) {
        let Some(id) = self.who(who) else { return };
        self.tally.evil(Evil::Move);
        self.leave(id, away);
    }

    /// All devices get other addresses: another router.
    pub(super) fn move_all(&mut self, away: Duration) {
        self.tally.evil(Evil::MoveAll);
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            self.leave(id, away);
        }
    }

    fn leave(&mut self, id: MemberId, away: Duration) {
        self.members.get_mut(&id).expect("a member").away = true;
        self.later(away, Turn::Arrives(id));
    }

    pub(super) fn arrives(&mut self, id: MemberId) {
        let place = self.another_place();
        let Some(member) = self.members.get_mut(&id) else { return };
        (member.place, member.away) = (place, false);
        self.trace.note(self.now, || format!("{id} is at {place} now"));
    }

    /// Where nobody has been.
    pub(super) fn another_place(&mut self) -> SocketAddr {
        self.moves += 1;
        let [.., b, c, d] = self.moves.to_be_bytes();
        ([10, b.wrapping_add(1), c, d], PORT).into()
    }

    /// A router forgets which port is whose, and gives another.
    pub(super) fn rebind(&mut self, who: Who) {
        let Some(id) = self.who(who) else { return };
        self.tally.evil(Evil::Rebind);
        let place = &mut self.members.get_mut(&id).expect("it runs").place;
        place.set_port(place.port().wrapping_add(1).max(PORT));
    }

    /// Strangers knock at a member, with tokens that nobody knows.
    pub(super) fn strangers_knock(&mut self, at: Who, times: u32) {
        let Some(at) = self.who(at) else { return };
        let now = self.now;
        for knock in 0..times {
            let mut token = [0xff; 16];
            token[..4].copy_from_slice(&knock.to_le_bytes());
            let process = self.members.get_mut(&at).expect("it runs").process();
            let local = process.local(now);
            if process.knocks.wait(local, token, false).is_some() {
                self.tally.evil(Evil::StrangerSentAway);
            }
        }
    }
}

impl Way {
    fn seen_at(address: Option<&SocketAddr>) -> Self {
        let mut way = Self::default();
        address.into_iter().for_each(|address| way.whereabouts.seen_at(*address));
        way
    }

    /// The other one is here: a connection to anywhere else is given up.
    fn is_at(&mut self, address: SocketAddr) {
        self.whereabouts.seen_at(address);
        self.leads_to = self.leads_to.filter(|at| *at == address);
    }

    /// Whether it has come from here for a while.
    fn keeps_coming_from(&mut self, address: SocketAddr) -> bool {
        let looks = self.came_from.filter(|(from, _)| *from == address).map_or(0, |(_, looks)| looks);
        self.came_from = Some((address, looks + 1));
        looks >= FOLLOWED_AFTER
    }
}

/// The address of a device that is on no network.
fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, PORT).into()
}
