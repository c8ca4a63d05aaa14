//! Networks as people have them: without a router, with addresses of IPv6, with two ways in, behind a router that forgets.

use crate::cables::{Cables, Family};
use crate::place::{Place, addresses, peer_set, until_there};
use crate::support::peer_set::{Folder, PeerSet};
use crate::support::until;
use crate::world::World;
use std::time::Duration;

/// Within this a member is back after something of its network changed.
const BACK_WITHIN: Duration = Duration::from_secs(10);
const TOOLS: &[&str] = &["unshare", "nsenter", "ip", "mount"];

fn three(folder: &Folder, listen: &str, settings: &[&str]) -> PeerSet {
    let place = |at| Place {
        listen: listen.into(),
        behind: Cables::behind(at),
        up: vec!["--no-discovery".into()],
        ..Place::new(folder.path(&format!("p{at}")))
    };
    peer_set(&[place(0), place(1), place(2)], settings)
}

/// Founds three members that nothing tells where they are, takes the power from all, and gives it back.
fn live_through_a_power_loss(family: Family, listen: &str, expected: &[&str]) {
    let (folder, _cables) = (Folder::new(), Cables::lay_for(3, family));
    let mut set = three(&folder, listen, &[]);
    assert_eq!(addresses(&set, 0), expected);
    set.kill_all();
    set.members.iter_mut().for_each(|member| member.restart_with(&["--no-discovery"]));
    let took = until_there(&set, 1, 2, "after");
    assert!(took < BACK_WITHIN, "the set was back after {took:?}");
    assert_eq!(addresses(&set, 0), expected);
}

#[test]
fn members_without_a_router_find_each_other_after_a_power_loss() {
    let test = "networks::members_without_a_router_find_each_other_after_a_power_loss";
    World::Network.enter(test, TOOLS, || {
        live_through_a_power_loss(Family::V4, "", &["10.77.0.1:7400", "10.77.0.2:7400", "10.77.0.3:7400"]);
    });
}

#[test]
fn members_without_ipv4_find_each_other_after_a_power_loss() {
    let test = "networks::members_without_ipv4_find_each_other_after_a_power_loss";
    World::Network.enter(test, TOOLS, || {
        live_through_a_power_loss(Family::V6, "", &["[fd77::1]:7400", "[fd77::2]:7400", "[fd77::3]:7400"]);
    });
}

/// A member that joins over IPv4 is recorded where it is seen, not as an IPv4 address written as one of IPv6.
#[test]
fn members_of_both_families_find_each_other_after_a_power_loss() {
    let test = "networks::members_of_both_families_find_each_other_after_a_power_loss";
    World::Network.enter(test, TOOLS, || {
        let expected = ["10.77.0.1:7400", "10.77.0.2:7400", "10.77.0.3:7400"];
        live_through_a_power_loss(Family::Both, "[::]:7400", &expected);
    });
}

#[test]
fn a_member_whose_cable_is_pulled_goes_on_by_radio() {
    let test = "networks::a_member_whose_cable_is_pulled_goes_on_by_radio";
    World::Network.enter(test, TOOLS, || {
        let (folder, cables) = (Folder::new(), Cables::lay(3));
        (0..3).for_each(|at| cables.add_radio(at));
        let set = three(&folder, "0.0.0.0:7400", &[]);
        let leader = set.await_leader();
        let follower = (leader + 1) % 3;
        cables.unplug(follower);
        let took = until_there(&set, follower, leader, "follower");
        assert!(took < BACK_WITHIN, "a follower was back after {took:?}");
        cables.plug_in(follower);

        let leader = set.await_leader();
        let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
        cables.unplug(leader);
        let of_leader = until_there(&set, one, other, "others") + until_there(&set, leader, one, "leader");
        assert!(of_leader < BACK_WITHIN, "a leader was back after {of_leader:?}");
        println!("without its cable a follower was back after {took:.1?}, a leader after {of_leader:.1?}");
    });
}

#[test]
fn a_router_may_forget_which_ports_it_gave_to_a_member() {
    let test = "networks::a_router_may_forget_which_ports_it_gave_to_a_member";
    World::Network.enter(test, &[TOOLS, &["nft", "conntrack"]].concat(), || {
        let (folder, cables) = (Folder::new(), Cables::lay(3));
        cables.put_behind_router(2, "20000-20999");
        let set = three(&folder, "0.0.0.0:7400", &["--tenure", "3s"]);
        let rebind = |at: &str, ports: &str| {
            cables.route_by(ports);
            let took =
                until_there(&set, 2, 0, &format!("{at}-out")) + until_there(&set, 1, 2, &format!("{at}-in"));
            assert!(took < BACK_WITHIN, "{at} was back after {took:?}");
            took
        };
        until("another leader", || set.leader().filter(|leader| *leader != 2));
        let follower = rebind("follower", "21000-21999");
        until("the one behind the router leads", || set.leader().filter(|leader| *leader == 2));
        let leader = rebind("leader", "22000-22999");
        println!("behind a router a follower was back after {follower:.1?}, a leader after {leader:.1?}");
    });
}
