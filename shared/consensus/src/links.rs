//! How good the ways to the other members are, and by how much that slows the clock of elections.
//!
//! An election timeout must outlast the round trips of an election and some lost heartbeats in a row. Over a slow or
//! lossy network the configured one does not, and leaders would come and go for nothing. The engine cannot change its
//! timeouts while it runs, so the time that it counts towards them passes slower instead: for followers, for the
//! leader's check of its quorum and for its hand-overs alike. Heartbeats keep their pace. Measuring is the shell's.

use crate::config::Config;
use rafty_types::{MemberId, Membership};
use std::collections::BTreeMap;
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
}

/// One way, smoothed.
#[derive(Clone, Copy, Debug, Default)]
struct Quality {
    /// The last ones measured, newest first.
    rtts: [Option<Duration>; ROUND_TRIPS_KEPT],
    /// Of a packet one way, in a million.
    loss: u64,
}

impl Quality {
    fn take(&mut self, link: &Link) {
        self.rtts.rotate_right(1);
        self.rtts[0] = Some(link.rtt);
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
        heartbeat * heartbeats + rtt * ROUND_TRIPS
    }
}

/// The ways to all members, and the slowed clock.
#[derive(Debug)]
pub(crate) struct Links {
    ways: BTreeMap<MemberId, Quality>,
    stretch: u64,
    saved: u64,
}

impl Default for Links {
    fn default() -> Self {
        Self { ways: BTreeMap::new(), stretch: AS_CONFIGURED, saved: 0 }
    }
}

impl Links {
    /// Takes a measurement in. Members outside the membership are ignored, and forgotten.
    pub(crate) fn measured(&mut self, links: &[Link], membership: &Membership) {
        for link in links.iter().filter(|link| membership.contains(link.member)) {
            self.ways.entry(link.member).or_default().take(link);
        }
        self.ways.retain(|member, _| membership.contains(*member));
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
    use rafty_types::Settings;

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
                quality.take(&Link { member: MemberId(2), rtt, sent: 100, lost: 0 });
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
    fn of_the_ticks_as_many_count_as_the_stretch_says() {
        let mut links = Links { stretch: 2_500, ..Links::default() };
        assert_eq!((0..1_000).filter(|_| links.tick_counts()).count(), 400);
        let mut links = Links::default();
        assert!((0..10).all(|_| links.tick_counts()));
    }
}
