//! Members whose addresses change while they run: the others find them where they are, and nobody is restarted.

use crate::cables::Cables;
use crate::place::{Place, addresses, peer_set, until_there};
use crate::support::peer_set::{Folder, PeerSet};
use crate::support::until;
use crate::world::{World, tool};
use rafty_types::hex::Hex;
use std::time::Duration;

/// Within this a member that moved belongs again.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// Within this a set whose members all moved goes on.
const ALL_BACK_WITHIN: Duration = Duration::from_secs(30);
const TOOLS: &[&str] = &["unshare", "nsenter", "ip", "mount"];

fn three(folder: &Folder, up: &[&str]) -> PeerSet {
    let place = |at| Place {
        listen: "0.0.0.0:7400".into(),
        behind: Cables::behind(at),
        up: up.iter().map(ToString::to_string).collect(),
        ..Place::new(folder.path(&format!("p{at}")))
    };
    peer_set(&[place(0), place(1), place(2)], &[])
}

/// Nobody hears from anybody while this is done.
fn move_all(cables: &Cables) {
    (0..3).for_each(|at| cables.unplug(at));
    (0..3).for_each(|at| cables.readdress(at, &format!("10.77.0.{}", 101 + at)));
    (0..3).for_each(|at| cables.plug_in(at));
}

#[test]
fn a_member_with_another_address_is_found_there() {
    let test = "moves::a_member_with_another_address_is_found_there";
    World::Network.enter(test, TOOLS, || {
        let (folder, cables) = (Folder::new(), Cables::lay(3));
        cables.route_all();
        let set = three(&folder, &[]);
        let leader = set.await_leader();
        let follower = (leader + 1) % 3;

        cables.readdress(follower, "10.77.0.101");
        let took = until_there(&set, follower, leader, "follower");
        assert!(took < BACK_WITHIN, "a follower was back after {took:?}");
        let (id, seen) = (set.members[follower].id().expect("it runs"), "10.77.0.101:7400".parse().unwrap());
        until("the roster has its address", || {
            let status = set.members[leader].status()?;
            status.node.members.iter().any(|line| line.id == id && line.addresses == [seen]).then_some(())
        });

        let leader = set.await_leader();
        cables.readdress(leader, "10.77.0.102");
        let others: Vec<_> = (0..3).filter(|at| *at != leader).collect();
        let of_others = until_there(&set, others[0], others[1], "others");
        let took = of_others + until_there(&set, leader, others[0], "leader");
        assert!(took < BACK_WITHIN, "a leader was back after {took:?}");
        println!("a follower was back after {took:.1?}, and a leader, too");
    });
}

/// Nobody is where anybody knew it. There is no router, so none has a way out of the network.
#[test]
fn members_that_all_moved_find_each_other_on_a_network_without_a_router() {
    let test = "moves::members_that_all_moved_find_each_other_on_a_network_without_a_router";
    World::Network.enter(test, TOOLS, || {
        let (folder, cables) = (Folder::new(), Cables::lay(3));
        let set = three(&folder, &[]);
        assert_eq!(addresses(&set, 0), ["10.77.0.1:7400", "10.77.0.2:7400", "10.77.0.3:7400"]);
        move_all(&cables);
        let took = until_there(&set, 0, 2, "moved");
        assert!(took < ALL_BACK_WITHIN, "the set went on after {took:?}");
        println!("a set whose members all moved went on after {took:.1?}");
        until("the roster has all addresses", || {
            (addresses(&set, 2) == ["10.77.0.101:7400", "10.77.0.102:7400", "10.77.0.103:7400"]).then_some(())
        });
    });
}

#[test]
fn where_members_do_not_look_for_each_other_one_is_told_where_the_others_are() {
    let test = "moves::where_members_do_not_look_for_each_other_one_is_told_where_the_others_are";
    World::Network.enter(test, TOOLS, || {
        let (folder, cables) = (Folder::new(), Cables::lay(3));
        let mut set = three(&folder, &["--no-discovery"]);
        set.kill_all();
        (0..3).for_each(|at| cables.readdress(at, &format!("10.77.0.{}", 101 + at)));
        set.members[1].restart_with(&["--no-discovery"]);
        set.members[2].restart_with(&["--no-discovery"]);
        let peers = ["--peer", "10.77.0.102:7400", "--peer", "10.77.0.103:7400"];
        set.members[0].restart_with(&[&["--no-discovery"], &peers[..]].concat());
        let took = until_there(&set, 0, 2, "moved");
        assert!(took < ALL_BACK_WITHIN, "the set went on after {took:?}");
        println!("a set that was told went on after {took:.1?}");
    });
}

/// More addresses than are tried at once, beside the right one: of a name, and said by strangers of each member.
const OTHER_ADDRESSES: usize = 19;
const LIES: usize = 11;
/// Within this the right one has been tried.
const ALL_TRIED_WITHIN: Duration = Duration::from_secs(60);

/// Anybody on the network may say that members are anywhere.
#[test]
fn strangers_that_say_where_members_are_change_nothing() {
    let test = "moves::strangers_that_say_where_members_are_change_nothing";
    World::Network.enter(test, TOOLS, || {
        let (folder, cables) = (Folder::new(), Cables::lay(3));
        let set = three(&folder, &[]);
        let status = set.members[0].status().expect("it runs");
        let liar = mdns_sd::ServiceDaemon::new().expect("a network");
        let cluster = Hex(&status.node.cluster.0).to_string();
        for (at, line) in status.node.members.iter().enumerate() {
            let key = Hex(&rafty_seal::short_hash(&line.key)).to_string();
            for number in 0..LIES {
                let (name, host) = (format!("liar-{at}-{number}"), format!("liar-{at}-{number}.local."));
                let nobody = format!("10.77.0.{}", 60 + number);
                let said = [("cluster", cluster.clone()), ("key", key.clone())];
                let service = mdns_sd::ServiceInfo::new(
                    "_rafty._udp.local.",
                    &name,
                    &host,
                    &nobody[..],
                    7400,
                    &said[..],
                );
                liar.register(service.expect("a service")).expect("it is told");
            }
        }
        move_all(&cables);
        let took = until_there(&set, 0, 2, "moved");
        assert!(took < ALL_TRIED_WITHIN, "the set went on after {took:?}");
        println!("a set among strangers went on after {took:.1?}");
        until("the roster has all addresses", || {
            (addresses(&set, 2) == ["10.77.0.101:7400", "10.77.0.102:7400", "10.77.0.103:7400"]).then_some(())
        });
        drop(liar.shutdown());
    });
}

#[test]
fn a_name_may_have_twenty_addresses() {
    let test = "moves::a_name_may_have_twenty_addresses";
    World::Network.enter(test, TOOLS, || {
        let (folder, cables) = (Folder::new(), Cables::lay(3));
        let hosts = folder.path("hosts");
        let nobody: String =
            (0..OTHER_ADDRESSES).map(|number| format!("10.77.0.{} m0.test\n", 60 + number)).collect();
        let point_at = |last: usize, before: &str| {
            std::fs::write(&hosts, format!("127.0.0.1 localhost\n{before}10.77.0.{last} m0.test\n"))
                .expect("a file");
        };
        point_at(1, "");
        tool(&["mount", "--bind", &hosts, "/etc/hosts"]);
        let place = |at| Place {
            listen: "0.0.0.0:7400".into(),
            advertise: (at == 0).then(|| "m0.test:7400".into()),
            behind: Cables::behind(at),
            up: vec!["--no-discovery".into()],
            ..Place::new(folder.path(&format!("p{at}")))
        };
        let mut set = peer_set(&[place(0), place(1), place(2)], &[]);
        let noted = || std::fs::read_to_string(set.members[1].file("last-seen.json")).unwrap_or_default();
        until("the name is noted", || noted().contains("m0.test:7400").then_some(()));
        set.kill_all();
        point_at(101, &nobody);
        (0..2).for_each(|at| cables.readdress(at, &format!("10.77.0.{}", 101 + at)));
        // Only these two run: the one with the name does not know where the other is.
        set.members[..2].iter_mut().for_each(|member| member.restart_with(&["--no-discovery"]));
        let took = until_there(&set, 1, 0, "named");
        assert!(took < ALL_TRIED_WITHIN, "the set went on after {took:?}");
        println!("a member with twenty addresses was found after {took:.1?}");
    });
}

/// Nobody looks for the others on the network, and no name means what it meant before.
#[test]
fn members_that_are_known_by_name_are_found_where_the_names_lead_now() {
    let test = "moves::members_that_are_known_by_name_are_found_where_the_names_lead_now";
    World::Network.enter(test, TOOLS, || {
        let (folder, cables) = (Folder::new(), Cables::lay(3));
        let hosts = folder.path("hosts");
        let point_at = |last: usize| {
            let lines: String = (0..3).map(|at| format!("10.77.0.{} m{at}.test\n", at + last)).collect();
            std::fs::write(&hosts, format!("127.0.0.1 localhost\n{lines}")).expect("a file");
        };
        point_at(1);
        tool(&["mount", "--bind", &hosts, "/etc/hosts"]);
        let place = |at| Place {
            listen: "0.0.0.0:7400".into(),
            advertise: Some(format!("m{at}.test:7400")),
            behind: Cables::behind(at),
            up: vec!["--no-discovery".into()],
            ..Place::new(folder.path(&format!("p{at}")))
        };
        let mut set = peer_set(&[place(0), place(1), place(2)], &[]);
        for member in &set.members {
            let names = || {
                let noted = std::fs::read_to_string(member.file("last-seen.json")).unwrap_or_default();
                noted.matches(".test:7400").count()
            };
            until("the names of the others are noted", || (names() == 2).then_some(()));
        }
        set.kill_all();
        (0..3).for_each(|at| cables.readdress(at, &format!("10.77.0.{}", 101 + at)));
        point_at(101);
        set.members.iter_mut().for_each(|member| member.restart_with(&["--no-discovery"]));
        let took = until_there(&set, 0, 2, "moved");
        assert!(took < ALL_BACK_WITHIN, "the set went on after {took:?}");
        println!("a set whose names lead elsewhere went on after {took:.1?}");
        until("the roster has all addresses", || {
            (addresses(&set, 2) == ["10.77.0.101:7400", "10.77.0.102:7400", "10.77.0.103:7400"]).then_some(())
        });
    });
}
