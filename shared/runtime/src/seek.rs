//! Looking for the others while no leader is heard: all addresses may have changed at once, and none may be right any more.
//!
//! Where members were reached last, and at which names they say that they are found, is kept beside what the replicated state
//! says of it. What is found is tried, never believed: whoever answers there proves its key.

use crate::host_port::HostPort;
use crate::net::{Net, Sighting};
use rafty_node::Search;
use rafty_storage::{DataDir, replace_file};
use rafty_types::hex::{Hex, parse};
use rafty_types::{PeerKey, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

const FILE: &str = "last-seen.json";
/// More bytes than the file ever has.
const MAX_FILE_LEN: u64 = 64 * 1024;
/// Looks where members may be: at names and addresses that a person gave, on the local network. May take seconds.
pub type Lookout = Arc<dyn Fn() -> Vec<Sighting> + Send + Sync>;

/// Where each member is found: an address, a name, or both.
pub(crate) type Whereabouts = BTreeMap<PeerKey, BTreeSet<HostPort>>;

/// When to look, and what was seen last.
#[derive(Default)]
pub(crate) struct Seeker {
    lookout: Option<Lookout>,
    search: Search<HostPort>,
    noted: Whereabouts,
    /// Where members were seen before this start; until they are known.
    before: Vec<Sighting>,
}

impl Seeker {
    pub(crate) fn new(lookout: Option<Lookout>, before: &Whereabouts) -> Self {
        let all = || before.iter().flat_map(|(key, places)| places.iter().map(|place| (*key, place)));
        let sighting = |(key, place): (PeerKey, &HostPort)| Some(seen_at(&key, place.fixed()?));
        let mut search = Search::default();
        let named = all().filter(|(_, place)| place.fixed().is_none());
        search.named(named.map(|(key, name)| (key, name.clone())));
        Self { lookout, search, before: all().filter_map(sighting).collect(), ..Self::default() }
    }

    /// Where members were seen before this start, once.
    pub(crate) fn take_before(&mut self) -> Vec<Sighting> {
        std::mem::take(&mut self.before)
    }

    /// What is to be done now: one look at a time, and only without a leader.
    pub(crate) fn due(&mut self, has_leader: bool, now: Time) -> Option<Look> {
        let names = self.search.due(has_leader, now)?;
        Some(Look { lookout: self.lookout.clone(), names })
    }

    pub(crate) fn looked(&mut self, now: Time) {
        self.search.looked(now);
    }

    /// Where members are found, if that is to be written: when it is new. `named` are those that say a name.
    pub(crate) fn news<'a>(
        &mut self,
        net: &Net,
        named: impl Iterator<Item = (PeerKey, &'a str)>,
    ) -> Option<Whereabouts> {
        // What is no name and port is none to ask for.
        self.search.named(named.filter_map(|(key, name)| Some((key, name.parse().ok()?))));
        self.search.retain(|key| net.knows(key));
        let (seen, names) = (net.last_seen(), self.search.names());
        let keys: BTreeSet<_> = seen.keys().chain(names.keys()).copied().collect();
        let places = |key: PeerKey| {
            let address = seen.get(&key).copied().map(HostPort::from);
            (key, address.into_iter().chain(names.get(&key).cloned()).collect())
        };
        let now: Whereabouts = keys.into_iter().map(places).collect();
        let is_new = now.iter().any(|(key, places)| self.noted.get(key) != Some(places));
        is_new.then(|| {
            self.noted.clone_from(&now);
            now
        })
    }
}

/// One look around; it may take seconds.
pub(crate) struct Look {
    lookout: Option<Lookout>,
    names: BTreeMap<PeerKey, HostPort>,
}

impl Look {
    pub(crate) fn around(self) -> Vec<Sighting> {
        let at = |(key, name): (&PeerKey, &HostPort)| {
            let addresses = name.addresses().unwrap_or_default();
            addresses.into_iter().map(|address| seen_at(key, address)).collect::<Vec<_>>()
        };
        let named = self.names.iter().flat_map(at);
        named.chain(self.lookout.map_or_else(Vec::new, |lookout| lookout())).collect()
    }
}

fn seen_at(key: &PeerKey, address: SocketAddr) -> Sighting {
    Sighting { key_hash: Some(rafty_seal::short_hash(key)), address }
}

/// Writes where members are found. It may be lost: what the replicated state says is there, too.
pub(crate) fn write(dir: &DataDir, found: &Whereabouts) {
    let text: BTreeMap<_, _> = found.iter().map(|(key, places)| (Hex(&key.0).to_string(), places)).collect();
    let json = serde_json::to_vec_pretty(&text).expect("addresses always encode");
    let _ = replace_file(&dir.file(FILE), &json, false);
}

/// Reads it back; what cannot be read is left out.
pub(crate) fn read(dir: &DataDir) -> Whereabouts {
    let path = dir.file(FILE);
    let is_short = std::fs::metadata(&path).is_ok_and(|file| file.len() <= MAX_FILE_LEN);
    let bytes = if is_short { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
    let text: BTreeMap<String, BTreeSet<HostPort>> = serde_json::from_slice(&bytes).unwrap_or_default();
    let keyed = text.into_iter().filter_map(|(hex, places)| Some((PeerKey(parse(&hex)?), places)));
    keyed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn where_members_are_found_is_read_back_and_junk_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        assert_eq!(read(&dir), Whereabouts::new());
        let (key, address) = (PeerKey([7; 32]), "[2001:db8::1]:7400".parse().unwrap());
        let name: HostPort = "localhost:7401".parse().unwrap();
        let found = Whereabouts::from([(key, [HostPort::from(address), name].into())]);
        write(&dir, &found);
        assert_eq!(read(&dir), found);
        let mut seeker = Seeker::new(None, &found);
        assert_eq!(seeker.take_before(), [seen_at(&key, address)]);
        assert!(seeker.due(false, Time::ZERO).is_none());
        let look =
            seeker.due(false, Time::ZERO + Duration::from_secs(60)).expect("there is a name to ask for");
        let found = look.around();
        assert!(found.iter().all(|one| one.address.ip().is_loopback() && one.address.port() == 7401));
        assert!(!found.is_empty());
        for junk in ["{", "[]", "{\"zz\": [\"192.0.2.1:1\"]}", "{\"07\": [\"nowhere\"]}"] {
            std::fs::write(dir.file(FILE), junk).unwrap();
            assert_eq!(read(&dir), Whereabouts::new(), "{junk}");
        }
        std::fs::write(dir.file(FILE), vec![b' '; 70_000]).unwrap();
        assert_eq!(read(&dir), Whereabouts::new());
    }
}
