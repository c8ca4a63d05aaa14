//! Whom a client knows, and in which order it asks them.

use rafty_wire::client::Address;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Most members that are believed to be; a peer set has far fewer.
const MAX_MEMBERS: usize = 256;
/// For how long a member that did not answer is asked last.
const SUSPECT_FOR: Duration = Duration::from_secs(10);

/// The addresses a client was given, those a member told it, and what it found out about them.
#[derive(Debug)]
pub(crate) struct Members {
    given: Vec<Address>,
    told: Vec<Address>,
    leader: Option<Address>,
    /// Who did not answer, and when.
    suspects: BTreeMap<Address, Instant>,
}

impl Members {
    pub(crate) fn new(given: Vec<Address>) -> Self {
        Self { told: given.clone(), given, leader: None, suspects: BTreeMap::new() }
    }

    /// The members as last told.
    pub(crate) fn told(&self) -> &[Address] {
        &self.told
    }

    /// A member told who all are. Nobody at all is not believed.
    pub(crate) fn learn(&mut self, mut cluster: Vec<Address>) {
        cluster.truncate(MAX_MEMBERS);
        if !cluster.is_empty() {
            self.suspects.retain(|member, _| cluster.contains(member) || self.given.contains(member));
            self.told = cluster;
        }
    }

    /// A member answered, or did not.
    pub(crate) fn answered(&mut self, member: &Address, answered: bool, now: Instant) {
        if answered {
            self.suspects.remove(member);
        } else if self.told.contains(member) || self.given.contains(member) {
            self.suspects.insert(member.clone(), now);
        }
        if !answered && self.leader.as_ref() == Some(member) {
            self.leader = None;
        }
    }

    /// Who answered a change, or was said to lead.
    pub(crate) fn leads(&mut self, leader: Option<Address>) {
        self.leader = leader;
    }

    /// Everybody once, at random: who was told, then who was given and not told, then who lately did not answer. A
    /// request that only the leader can do goes to the last known one first. Without a `token` members answer on their
    /// own machine only, so other addresses come last.
    pub(crate) fn order(
        &self,
        for_leader: bool,
        token: bool,
        now: Instant,
        rng: &mut fastrand::Rng,
    ) -> Vec<Address> {
        let suspect = |member: &Address| {
            self.suspects.get(member).is_some_and(|since| now.duration_since(*since) < SUSPECT_FOR)
        };
        let others: Vec<_> = self.given.iter().filter(|member| !self.told.contains(member)).collect();
        let mut order: Vec<_> = self.told.iter().map(|member| (0, member)).collect();
        order.extend(others.into_iter().map(|member| (1, member)));
        rng.shuffle(&mut order);
        order.sort_by_key(|(rank, member)| match member {
            member if !token && is_elsewhere(member) => 3,
            member if suspect(member) => 2,
            _ => *rank,
        });
        let leader = self.leader.iter().filter(|_| for_leader);
        let mut members: Vec<Address> =
            leader.chain(order.into_iter().map(|(_, member)| member)).cloned().collect();
        let mut seen = std::collections::BTreeSet::new();
        members.retain(|member| seen.insert(member.clone()));
        members
    }
}

/// Whether it is certainly no address of this machine's own.
fn is_elsewhere(member: &Address) -> bool {
    member.0.parse().is_ok_and(|ip: IpAddr| !ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(ports: &[u16]) -> Vec<Address> {
        ports.iter().map(|port| Address("127.0.0.1".into(), *port)).collect()
    }

    fn ports(members: &Members, for_leader: bool, now: Instant, seed: u64) -> Vec<u16> {
        let order = members.order(for_leader, false, now, &mut fastrand::Rng::with_seed(seed));
        order.into_iter().map(|member| member.1).collect()
    }

    #[test]
    fn the_first_is_random() {
        let known = Members::new(members(&[1, 2, 3]));
        let firsts: std::collections::BTreeSet<_> =
            (0..64).map(|seed| ports(&known, false, Instant::now(), seed)[0]).collect();
        assert_eq!(firsts, [1, 2, 3].into());
    }

    #[test]
    fn who_was_told_comes_before_who_was_given_and_who_fails_comes_last_for_a_while() {
        let now = Instant::now();
        let mut known = Members::new(members(&[1, 2]));
        known.learn(members(&[2, 3]));
        for seed in 0..32 {
            assert_eq!(ports(&known, false, now, seed)[2], 1);
        }
        known.answered(&members(&[3])[0], false, now);
        for seed in 0..32 {
            assert_eq!(ports(&known, false, now, seed), [2, 1, 3]);
            assert_eq!(ports(&known, false, now + SUSPECT_FOR, seed)[2], 1);
        }
        known.answered(&members(&[3])[0], true, now);
        assert!((0..32).any(|seed| ports(&known, false, now, seed)[0] == 3));
    }

    #[test]
    fn the_leader_is_asked_first_for_what_only_it_can_do_and_only_while_it_answers() {
        let now = Instant::now();
        let mut known = Members::new(members(&[1, 2, 3]));
        known.leads(Some(members(&[3])[0].clone()));
        for seed in 0..32 {
            let order = ports(&known, true, now, seed);
            assert_eq!((order[0], order.len()), (3, 3));
        }
        known.answered(&members(&[3])[0], false, now);
        assert!((0..32).all(|seed| ports(&known, true, now, seed)[2] == 3));
    }

    #[test]
    fn without_a_token_this_machine_comes_first() {
        let now = Instant::now();
        let mut known = Members::new(members(&[1]));
        let elsewhere = Address("192.0.2.1".into(), 7400);
        known.learn(vec![elsewhere.clone()]);
        known.answered(&members(&[1])[0], false, now);
        for seed in 0..32 {
            let mut rng = fastrand::Rng::with_seed(seed);
            assert_eq!(known.order(false, false, now, &mut rng)[0], members(&[1])[0]);
            assert_eq!(known.order(false, true, now, &mut rng)[0], elsewhere);
        }
    }

    #[test]
    fn an_empty_or_endless_cluster_is_not_believed() {
        let mut known = Members::new(members(&[1]));
        known.learn(Vec::new());
        assert_eq!(known.told(), members(&[1]));
        known.learn((1..=1_000).map(|port| Address("127.0.0.1".into(), port)).collect());
        assert_eq!(known.told().len(), MAX_MEMBERS);
    }
}
