//! How good the ways to the other members are, and by how much that slows the clock of elections.
//!
//! An election timeout must outlast the round trips of an election and some lost heartbeats in a row. Over a slow or
//! lossy network the configured one does not, and leaders would come and go for nothing. The engine cannot change its
//! timeouts while it runs, so the time that it counts towards them passes slower instead: for followers, for the
//! leader's check of its quorum and for its hand-overs alike. Heartbeats keep their pace, but to members that say
//! that their timeouts outlast fewer. Measuring is the shell's.

use crate::config::Config;
use rafty_types::{Index, MemberId, Membership, Message, MessageKind, Mutation, Time, planted};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A timeout that lasts as configured, in thousandths.
const AS_CONFIGURED: u64 = 1_000;
/// The most by which timeouts are stretched, in thousandths.
const MOST: u64 = 20 * AS_CONFIGURED;
/// A timeout passes for nothing with at most this chance, in a billion: then all heartbeats in it were lost.
const FALSE_ALARM: u64 = 10_000;
/// The most lost heartbeats in a row that a timeout allows for.
const MOST_HEARTBEATS: u32 = 32;
/// Round trips that fit into a timeout: of the question whether to vote, of the vote, and one to spare.
const ROUND_TRIPS: u32 = 3;
/// Of so many round-trip times, measured one after the other, the least counts: a member that was busy for a moment is not far
/// away.
const ROUND_TRIPS_KEPT: usize = 3;
/// How often a leader says over a slow link that it lives: with answers and acknowledgements some 4 kbit/s each way.
const SLOW_HEARTBEAT: Duration = Duration::from_millis(500);
/// The fewest lost heartbeats in a row that a timeout allows for over a slow link, where queues overflow.
const SLOW_HEARTBEATS: u32 = 3;
/// For so many measurements after the last slow one.
const PATIENT_FOR: u32 = 10;
/// A new measurement of loss counts for one part in so many.
const SMOOTHING: u64 = 8;

/// What was measured on the way to a member since the last measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// To whom.
    pub member: MemberId,
    /// The round-trip time now.
    pub rtt: Duration,
    /// Packets sent since.
    pub sent: u64,
    /// How many of them, or of earlier ones, were found lost since.
    pub lost: u64,
    /// Whether transfers between the two are slow: heartbeats in their usual number would take much of what the link can
    /// carry.
    pub slow: bool,
}

/// One way, smoothed.
#[derive(Clone, Copy, Debug, Default)]
struct Quality {
    /// The last ones measured, newest first.
    rtts: [Option<Duration>; ROUND_TRIPS_KEPT],
    /// Of a packet one way, in a million.
    loss: u64,
    slow: bool,
    /// For so many measurements more timeouts outlast few heartbeats: the leader does not know at once that they need not.
    patient_for: u32,
}

impl Quality {
    fn take(&mut self, link: &Link) {
        self.rtts.rotate_right(1);
        self.rtts[0] = Some(link.rtt);
        self.slow = link.slow;
        self.patient_for = if link.slow { PATIENT_FOR } else { self.patient_for.saturating_sub(1) };
        if let Some(loss) = link.lost.min(link.sent).saturating_mul(1_000_000).checked_div(link.sent) {
            self.loss = (self.loss * (SMOOTHING - 1) + loss) / SMOOTHING;
        }
    }

    /// How long a timeout must be for this way.
    fn timeout(&self, heartbeat: Duration) -> Duration {
        // A heartbeat counts for its sender when the answer comes, too.
        let there_and_back = 2 * self.loss - self.loss * self.loss / 1_000_000;
        let mut chance = 1_000_000_000;
        let mut heartbeats = 0;
        while chance > FALSE_ALARM && heartbeats < MOST_HEARTBEATS {
            chance = chance * there_and_back / 1_000_000;
            heartbeats += 1;
        }
        let rtt = self.rtts.iter().flatten().min().copied().unwrap_or_default();
        match self.patient_for > 0 {
            true => heartbeat.max(SLOW_HEARTBEAT) * heartbeats.max(SLOW_HEARTBEATS) + rtt * ROUND_TRIPS,
            false => heartbeat * heartbeats + rtt * ROUND_TRIPS,
        }
    }
}

/// The ways to all members, and the slowed clock.
#[derive(Debug)]
pub(crate) struct Links {
    ways: BTreeMap<MemberId, Quality>,
    stretch: u64,
    saved: u64,
    /// Whose timeouts outlast few heartbeats, by their own word.
    patient: BTreeSet<MemberId>,
    /// What was said last to those in this term: when, and which commit index it told.
    said: BTreeMap<MemberId, (Time, Index)>,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            ways: BTreeMap::new(),
            stretch: AS_CONFIGURED,
            saved: 0,
            patient: BTreeSet::new(),
            said: BTreeMap::new(),
        }
    }
}

impl Links {
    /// Takes a measurement in. Members outside the membership are ignored, and forgotten.
    pub(crate) fn measured(&mut self, links: &[Link], membership: &Membership) {
        for link in links.iter().filter(|link| membership.contains(link.member)) {
            self.ways.entry(link.member).or_default().take(link);
        }
        self.ways.retain(|member, _| membership.contains(*member));
        self.patient.retain(|member| membership.contains(*member));
        self.said.retain(|member, _| membership.contains(*member));
    }

    /// Decides the stretch anew: so that a majority of voters is reached in time, and the leader heard, if one is known.
    pub(crate) fn adapt(
        &mut self,
        config: &Config,
        me: MemberId,
        membership: &Membership,
        leader: Option<MemberId>,
    ) {
        let needed = |member: &MemberId| {
            self.ways.get(member).map_or(Duration::ZERO, |way| way.timeout(config.heartbeat))
        };
        let mut voters: Vec<_> = membership.voters.iter().filter(|voter| **voter != me).map(needed).collect();
        voters.sort_unstable();
        // With our own vote, half of the others make a majority; rounded up when their number is odd.
        let majority = voters.len().div_ceil(2).checked_sub(1).map_or(Duration::ZERO, |last| voters[last]);
        let needed = majority.max(leader.as_ref().map_or(Duration::ZERO, needed));
        let stretch =
            (needed.as_micros() * u128::from(AS_CONFIGURED)).div_ceil(config.election_min.as_micros().max(1));
        self.stretch = u64::try_from(stretch).unwrap_or(MOST).clamp(AS_CONFIGURED, MOST);
    }

    /// Whether the way to a member is slow.
    pub(crate) fn is_slow(&self, member: MemberId) -> bool {
        self.ways.get(&member).is_some_and(|way| way.slow)
    }

    /// A member says whether its timeouts outlast few heartbeats.
    pub(crate) fn note_patient(&mut self, member: MemberId, patient: bool) {
        if patient {
            self.patient.insert(member);
        } else {
            self.patient.remove(&member);
        }
    }

    /// Whether a message that a leader is about to send is left out: a heartbeat that tells nothing new to a member which
    /// does not need it, soon after something else.
    pub(crate) fn spares(&mut self, message: &Message, now: Time) -> bool {
        if !self.patient.contains(&message.to) || planted(Mutation::SlowLinksUnheeded) {
            return false;
        }
        let tells_nothing = message.kind == MessageKind::Heartbeat && message.context.is_empty();
        let is_soon = |(said, commit): &(Time, Index)| {
            *commit == message.commit && now.saturating_since(*said) < SLOW_HEARTBEAT
        };
        let spared = tells_nothing && self.said.get(&message.to).is_some_and(is_soon);
        if !spared {
            self.said.insert(message.to, (now, message.commit));
        }
        spared
    }

    /// Nothing was said in the new term.
    pub(crate) fn term_began(&mut self) {
        self.said.clear();
    }

    /// How often a leader says to this member that it lives.
    pub(crate) fn heartbeat(&self, member: MemberId, heartbeat: Duration) -> Duration {
        if self.patient.contains(&member) { heartbeat.max(SLOW_HEARTBEAT) } else { heartbeat }
    }

    /// Whether this tick counts towards a timeout.
    pub(crate) fn tick_counts(&mut self) -> bool {
        self.saved += AS_CONFIGURED;
        let counts = self.saved >= self.stretch;
        if counts {
            self.saved = (self.saved - self.stretch).min(MOST);
        }
        counts
    }

    /// How long a timeout really lasts.
    pub(crate) fn stretched(&self, timeout: Duration) -> Duration {
        if self.stretch == AS_CONFIGURED {
            return timeout;
        }
        let micros = timeout.as_micros() * u128::from(self.stretch) / u128::from(AS_CONFIGURED);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rafty_types::{Settings, Term};

    const ME: MemberId = MemberId(1);

    fn stretched(ways: &[(u64, u64, u64)], leader: Option<u64>) -> Duration {
        let config = Config::from_settings(&Settings::default());
        let voters = (1..=ways.len() as u64 + 1).map(MemberId).collect();
        let membership = Membership { voters, ..Membership::default() };
        let mut links = Links::default();
        for _ in 0..100 {
            let measured = ways.iter().map(|(member, rtt, lost)| Link {
                member: MemberId(*member),
                rtt: Duration::from_millis(*rtt),
                sent: 1_000,
                lost: *lost,
                slow: false,
            });
            links.measured(&measured.collect::<Vec<_>>(), &membership);
        }
        links.adapt(&config, ME, &membership, leader.map(MemberId));
        links.stretched(config.election_min)
    }

    #[test]
    fn a_good_network_changes_nothing() {
        assert_eq!(stretched(&[(2, 1, 0), (3, 20, 5)], None), Duration::from_millis(150));
    }

    #[test]
    fn a_timeout_outlasts_the_round_trips_and_the_losses_of_a_majority() {
        let distant = stretched(&[(2, 300, 0), (3, 300, 0)], None);
        assert!((940..942).contains(&distant.as_millis()), "three round trips and a heartbeat: {distant:?}");
        let lossy = stretched(&[(2, 1, 300), (3, 1, 300)], None);
        assert!(lossy > Duration::from_millis(600), "{lossy:?}");
        let hopeless = stretched(&[(2, 1, 999), (3, 1, 999)], None);
        assert!(hopeless <= Duration::from_millis(20 * 150));
    }

    #[test]
    fn a_member_that_was_busy_for_a_moment_is_not_far_away() {
        let timeout_after = |rtts: &[u64]| {
            let mut quality = Quality::default();
            for rtt in rtts {
                let rtt = Duration::from_millis(*rtt);
                quality.take(&Link { member: MemberId(2), rtt, sent: 100, lost: 0, slow: false });
            }
            quality.timeout(Duration::from_millis(10))
        };
        assert_eq!(timeout_after(&[1, 100, 100]), Duration::from_millis(13));
        assert_eq!(timeout_after(&[1, 100, 100, 100]), Duration::from_millis(310));
        assert_eq!(timeout_after(&[100]), Duration::from_millis(310));
    }

    #[test]
    fn one_distant_member_slows_nobody_but_its_own_followers() {
        let ways = [(2, 1, 0), (3, 1, 0), (4, 500, 0), (5, 1, 0)];
        assert_eq!(stretched(&ways, Some(2)), Duration::from_millis(150));
        assert!(stretched(&ways, Some(4)) > Duration::from_millis(1_500));
    }

    #[test]
    fn over_a_slow_link_little_is_said_and_timeouts_outlast_that() {
        let (config, slow, fast) = (Config::from_settings(&Settings::default()), MemberId(2), MemberId(3));
        let membership = Membership { voters: [ME, slow, fast].into(), ..Membership::default() };
        let link = |member, slow| Link { member, rtt: Duration::from_millis(40), sent: 9, lost: 0, slow };
        let mut links = Links::default();
        links.measured(&[link(slow, true), link(fast, false)], &membership);
        links.adapt(&config, ME, &membership, Some(slow));
        assert!(links.stretched(config.election_min) >= 3 * SLOW_HEARTBEAT);
        links.adapt(&config, ME, &membership, Some(fast));
        assert!(links.stretched(config.election_min) < SLOW_HEARTBEAT, "this one does not hang on it");

        assert!(links.is_slow(slow) && !links.is_slow(fast));
        for _ in 0..PATIENT_FOR - 1 {
            links.measured(&[link(slow, false)], &membership);
        }
        links.adapt(&config, ME, &membership, Some(slow));
        assert!(!links.is_slow(slow) && links.stretched(config.election_min) >= 3 * SLOW_HEARTBEAT);
        links.measured(&[link(slow, false)], &membership);
        links.adapt(&config, ME, &membership, Some(slow));
        assert!(links.stretched(config.election_min) < SLOW_HEARTBEAT, "the leader knows by now");

        links.note_patient(slow, true);
        let at = |ms| Time::since_start(Duration::from_millis(ms));
        let message =
            |to, kind, commit| Message { commit: Index(commit), ..Message::new(kind, ME, to, Term(1)) };
        let mut sent = |to, commit| {
            let heartbeat = message(to, MessageKind::Heartbeat, commit);
            let ms = (0..1_000).step_by(40);
            ms.filter(|ms| !links.spares(&heartbeat, at(*ms))).count()
        };
        assert_eq!((sent(fast, 5), sent(slow, 5)), (25, 2));
        let heartbeat = |commit| message(slow, MessageKind::Heartbeat, commit);
        assert!(links.spares(&heartbeat(5), at(1_000)));
        assert!(!links.spares(&heartbeat(6), at(1_000)), "it tells something new");
        assert!(!links.spares(&Message { context: vec![1], ..heartbeat(6) }, at(1_001)), "it asks something");
        assert!(!links.spares(&message(slow, MessageKind::Append, 6), at(1_002)));
        assert!(links.spares(&heartbeat(6), at(1_003)));
        links.term_began();
        assert!(!links.spares(&heartbeat(6), at(1_004)), "who leads is news");
        links.note_patient(slow, false);
        assert!(!links.spares(&heartbeat(6), at(1_005)));
    }

    #[test]
    fn of_the_ticks_as_many_count_as_the_stretch_says() {
        let mut links = Links { stretch: 2_500, ..Links::default() };
        assert_eq!((0..1_000).filter(|_| links.tick_counts()).count(), 400);
        let mut links = Links::default();
        assert!((0..10).all(|_| links.tick_counts()));
    }
}
