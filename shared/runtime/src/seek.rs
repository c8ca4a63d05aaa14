//! Looking for the others while no leader is heard: all addresses may have changed at once, and none may be right any more.
//!
//! Where members were reached last is kept beside what the replicated state says of it. What is found is tried, never
//! believed: whoever answers there proves its key.

use crate::net::{Net, Sighting};
use rafty_storage::{DataDir, replace_file};
use rafty_types::PeerKey;
use rafty_types::hex::{Hex, parse};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const FILE: &str = "last-seen.json";
/// More bytes than the file ever has.
const MAX_FILE_LEN: u64 = 64 * 1024;
/// Elections are over by then; whoever hears no leader for so long looks for the others.
const LEADERLESS_FOR: Duration = Duration::from_secs(3);
/// The pause after the first look; each is twice as long as the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(3);
const LONGEST_PAUSE: Duration = Duration::from_secs(12);

/// Looks where members may be: at names and addresses that a person gave, on the local network. May take seconds.
pub type Lookout = Arc<dyn Fn() -> Vec<Sighting> + Send + Sync>;

/// When to look, and what was seen last.
#[derive(Default)]
pub(crate) struct Seeker {
    lookout: Option<Lookout>,
    leaderless_since: Option<Instant>,
    looks: bool,
    next: Option<Instant>,
    pause: Duration,
    noted: BTreeMap<PeerKey, SocketAddr>,
    /// Where members were seen before this start; until they are known.
    before: Vec<Sighting>,
}

impl Seeker {
    pub(crate) fn new(lookout: Option<Lookout>, before: Vec<Sighting>) -> Self {
        Self { lookout, before, ..Self::default() }
    }

    /// Where members were seen before this start, once.
    pub(crate) fn take_before(&mut self) -> Vec<Sighting> {
        std::mem::take(&mut self.before)
    }

    /// What is to be done now: one look at a time, and only without a leader.
    pub(crate) fn due(&mut self, has_leader: bool, now: Instant) -> Option<Lookout> {
        if has_leader {
            (self.leaderless_since, self.pause) = (None, Duration::ZERO);
            return None;
        }
        let since = *self.leaderless_since.get_or_insert(now);
        let is_due = now.duration_since(since) >= LEADERLESS_FOR && self.next.is_none_or(|next| next <= now);
        let lookout = self.lookout.clone().filter(|_| is_due && !self.looks)?;
        self.looks = true;
        Some(lookout)
    }

    pub(crate) fn looked(&mut self, now: Instant) {
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        (self.looks, self.next) = (false, Some(now + self.pause));
    }

    /// Where members were seen last, if that is to be written: with whom it is new.
    pub(crate) fn news(&mut self, net: &Net) -> Option<BTreeMap<PeerKey, SocketAddr>> {
        let seen = net.last_seen();
        let is_new = seen.iter().any(|(key, address)| self.noted.get(key) != Some(address));
        is_new.then(|| {
            self.noted.clone_from(&seen);
            seen
        })
    }
}

/// Writes where members were seen last. It may be lost: what the replicated state says is there, too.
pub(crate) fn write(dir: &DataDir, seen: &BTreeMap<PeerKey, SocketAddr>) {
    let text: BTreeMap<_, _> = seen.iter().map(|(key, address)| (Hex(&key.0).to_string(), address)).collect();
    let json = serde_json::to_vec_pretty(&text).expect("addresses always encode");
    let _ = replace_file(&dir.file(FILE), &json, false);
}

/// Reads it back; what cannot be read is left out.
pub(crate) fn read(dir: &DataDir) -> Vec<Sighting> {
    let path = dir.file(FILE);
    let is_short = std::fs::metadata(&path).is_ok_and(|file| file.len() <= MAX_FILE_LEN);
    let bytes = if is_short { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
    let text: BTreeMap<String, SocketAddr> = serde_json::from_slice(&bytes).unwrap_or_default();
    let key = |hex: &str| parse(hex).map(PeerKey);
    let sightings = text.iter().filter_map(|(hex, address)| {
        Some(Sighting { key_hash: Some(rafty_seal::short_hash(&key(hex)?)), address: *address })
    });
    sightings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_after_a_while_without_a_leader_and_once_at_a_time() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut seeker = Seeker::new(Some(Arc::new(Vec::new)), Vec::new());
        assert!(seeker.due(false, after(0)).is_none() && seeker.due(false, after(2)).is_none());
        assert!(seeker.due(false, after(3)).is_some());
        assert!(seeker.due(false, after(60)).is_none(), "it still looks");
        seeker.looked(after(61));
        assert!(seeker.due(false, after(62)).is_none() && seeker.due(false, after(64)).is_some());
        seeker.looked(after(64));
        assert!(seeker.due(false, after(69)).is_none() && seeker.due(false, after(70)).is_some());
        seeker.looked(after(70));
        assert!(seeker.due(true, after(80)).is_none() && seeker.due(false, after(82)).is_none());
        assert!(seeker.due(false, after(85)).is_some());
        seeker.looked(after(85));
        assert!(seeker.due(false, after(88)).is_some(), "pauses begin anew");
        assert!(Seeker::new(None, Vec::new()).due(false, after(9)).is_none());
    }

    #[test]
    fn what_was_seen_last_is_read_back_and_junk_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        assert_eq!(read(&dir), []);
        let (key, address) = (PeerKey([7; 32]), "[2001:db8::1]:7400".parse().unwrap());
        write(&dir, &BTreeMap::from([(key, address)]));
        let found = Sighting { key_hash: Some(rafty_seal::short_hash(&key)), address };
        assert_eq!(read(&dir), [found]);
        for junk in ["{", "[]", "{\"zz\": \"192.0.2.1:1\"}", "{\"07\": \"nowhere\"}"] {
            std::fs::write(dir.file(FILE), junk).unwrap();
            assert_eq!(read(&dir), [], "{junk}");
        }
        std::fs::write(dir.file(FILE), vec![b' '; 70_000]).unwrap();
        assert_eq!(read(&dir), []);
    }
}
