//! A network of namespaces: each member has a machine of its own, with a cable to a switch; clients are at the switch.
//!
//! Only tools of `iproute2` are used. It cuts cleanly, or not at all; links that are bad are in `links`.

use crate::world::tool;

/// The network's addresses begin so; the last number is the machine's.
const NETWORK: &str = "10.77.0";
const NETWORK_6: &str = "fd77:";
const CLIENTS: &str = "10.77.0.200/24";
/// Behind a router.
const HOME: &str = "10.78.0";
const PORT: u16 = 7400;
/// An address of Ethernet that nobody has.
const NOBODY: &str = "02:00:00:00:00:fe";

/// How what is sent one way does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It gets lost without a word.
    Silent,
    /// The sender's system says at once that there is no way.
    Refused,
}

/// Which addresses machines have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
    Both,
}

/// The switch and its cables.
pub(crate) struct Cables {
    machines: usize,
    cuts: Vec<(usize, usize, Cut)>,
}

impl Cables {
    /// In a network namespace of this process's own.
    pub(crate) fn lay(machines: usize) -> Self {
        Self::lay_for(machines, Family::V4)
    }

    pub(crate) fn lay_for(machines: usize, family: Family) -> Self {
        tool(&["mount", "-t", "tmpfs", "none", "/run"]);
        ip("link set lo up");
        ip("link add switch type bridge");
        ip("link set switch up");
        ip(&format!("addr add {CLIENTS} dev switch"));
        for at in 0..machines {
            let name = machine(at);
            ip(&format!("netns add {name}"));
            ip(&format!("link add {name} type veth peer name eth0 netns {name}"));
            ip(&format!("link set {name} master switch up"));
            ip(&format!("-n {name} link set lo up"));
            if family != Family::V6 {
                ip(&format!("-n {name} addr add {}/24 dev eth0", address(at)));
            }
            if family != Family::V4 {
                ip(&format!("-n {name} addr add {}/64 dev eth0 nodad", address_6(at)));
            }
            ip(&format!("-n {name} link set eth0 up"));
        }
        Self { machines, cuts: Vec::new() }
    }

    /// The words before a program that runs on this machine.
    pub(crate) fn behind(at: usize) -> Vec<String> {
        vec!["nsenter".into(), format!("--net=/run/netns/{}", machine(at))]
    }

    pub(crate) fn listen(at: usize) -> String {
        format!("{}:{PORT}", address(at))
    }

    /// From now on nothing that one machine sends arrives at the other.
    pub(crate) fn cut(&mut self, from: usize, to: usize, cut: Cut) {
        let (name, to_address) = (machine(from), address(to));
        match cut {
            Cut::Silent => {
                ip(&format!("-n {name} neigh replace {to_address} lladdr {NOBODY} dev eth0 nud permanent"))
            }
            Cut::Refused => ip(&format!("-n {name} route add unreachable {to_address}/32")),
        }
        self.cuts.push((from, to, cut));
    }

    /// Everything arrives again.
    pub(crate) fn heal(&mut self) {
        for (from, to, cut) in self.cuts.drain(..) {
            let (name, to_address) = (machine(from), address(to));
            match cut {
                Cut::Silent => ip(&format!("-n {name} neigh del {to_address} dev eth0")),
                Cut::Refused => ip(&format!("-n {name} route del unreachable {to_address}/32")),
            }
        }
    }

    /// Pulls the cable out of a machine: clients do not reach it either.
    pub(crate) fn unplug(&self, at: usize) {
        ip(&format!("-n {} link set eth0 down", machine(at)));
    }

    pub(crate) fn plug_in(&self, at: usize) {
        ip(&format!("-n {} link set eth0 up", machine(at)));
    }

    /// Gives all machines a way to everywhere else: without one, a member that listens everywhere finds no address of its own.
    pub(crate) fn route_all(&self) {
        let gateway = CLIENTS.split('/').next().expect("an address");
        (0..self.machines).for_each(|at| ip(&format!("-n {} route add default via {gateway}", machine(at))));
    }

    /// Gives a machine another address instead of its own, as another lease would: the old one is gone at once.
    pub(crate) fn readdress(&self, at: usize, address_after: &str) {
        let name = machine(at);
        let promote = "echo 1 > /proc/sys/net/ipv4/conf/eth0/promote_secondaries";
        let inside = Self::behind(at);
        let words: Vec<&str> = inside.iter().map(String::as_str).chain(["sh", "-c", promote]).collect();
        tool(&words);
        ip(&format!("-n {name} addr add {address_after}/24 dev eth0"));
        ip(&format!("-n {name} addr del {}/24 dev eth0", address(at)));
    }

    /// Gives a machine a second way into the same network, by radio: its system takes the cable while that is there.
    pub(crate) fn add_radio(&self, at: usize) {
        let (name, on_air) = (machine(at), format!("{NETWORK}.{}", at + 51));
        ip(&format!("link add {name}r type veth peer name wlan0 netns {name}"));
        ip(&format!("link set {name}r master switch up"));
        ip(&format!("-n {name} addr add {on_air}/24 dev wlan0 noprefixroute"));
        ip(&format!("-n {name} link set wlan0 up"));
        ip(&format!("-n {name} route add {NETWORK}.0/24 dev wlan0 src {on_air} metric 600"));
    }

    /// Puts a router between a machine and the switch, which gives what it sends ports of its own. Others cannot reach
    /// the machine until it has sent them something.
    pub(crate) fn put_behind_router(&self, at: usize, ports: &str) {
        let name = machine(at);
        ip("netns add router");
        ip(&format!("link set {name} nomaster netns router"));
        ip(&format!("-n router addr add {HOME}.1/24 dev {name}"));
        ip(&format!("-n router link set {name} up"));
        ip("link add router type veth peer name outside netns router");
        ip("link set router master switch up");
        ip(&format!("-n router addr add {NETWORK}.100/24 dev outside"));
        ip("-n router link set outside up");
        in_router(&["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        in_router(&["nft", "add table ip nat"]);
        in_router(&["nft", "add chain ip nat after { type nat hook postrouting priority 100; }"]);
        self.route_by(ports);
        ip(&format!("-n {name} addr flush dev eth0"));
        ip(&format!("-n {name} addr add {HOME}.2/24 dev eth0"));
        ip(&format!("-n {name} route add default via {HOME}.1"));
    }

    /// The router forgets which ports it gave, and gives out of others.
    pub(crate) fn route_by(&self, ports: &str) {
        in_router(&["nft", "flush chain ip nat after"]);
        let rule = format!("add rule ip nat after oifname outside meta l4proto udp masquerade to :{ports}");
        in_router(&["nft", &rule]);
        in_router(&["conntrack", "-F"]);
    }

    /// From now on so much goes through a machine's cable in each direction, such as `64kbit`.
    pub(crate) fn slow_down(&self, at: usize, rate: &str) {
        let limit = format!("root tbf rate {rate} burst 4kb latency 1s");
        let words = |dev: &str| format!("tc qdisc add dev {dev} {limit}");
        let inside = Self::behind(at);
        let (own, switch) = (words("eth0"), words(&machine(at)));
        tool(&inside.iter().map(String::as_str).chain(own.split(' ')).collect::<Vec<_>>());
        tool(&switch.split(' ').collect::<Vec<_>>());
    }

    /// How many IP packets a machine has received and sent, and the bytes of them.
    pub(crate) fn traffic(&self, at: usize) -> [(u64, u64); 2] {
        const ETHERNET: u64 = 14;
        let words = ["-n", &machine(at), "-s", "-j", "link", "show", "dev", "eth0"];
        let output = std::process::Command::new("ip").args(words).output().expect("ip runs");
        let links: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        ["rx", "tx"].map(|way| {
            let count = |what: &str| links[0]["stats64"][way][what].as_u64().expect("a number");
            (count("packets"), count("bytes") - count("packets") * ETHERNET)
        })
    }

    pub(crate) fn machines(&self) -> usize {
        self.machines
    }
}

fn in_router(words: &[&str]) {
    tool(&[&["nsenter", "--net=/run/netns/router"], words].concat());
}

fn machine(at: usize) -> String {
    format!("m{at}")
}

fn address(at: usize) -> String {
    format!("{NETWORK}.{}", at + 1)
}

fn address_6(at: usize) -> String {
    format!("{NETWORK_6}:{}", at + 1)
}

fn ip(words: &str) {
    let words: Vec<&str> = std::iter::once("ip").chain(words.split(' ')).collect();
    tool(&words);
}
