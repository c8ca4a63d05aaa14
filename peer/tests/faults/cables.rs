//! A network of namespaces: each member has a machine of its own, with a cable to a switch; clients are at the switch.
//!
//! Only tools of `iproute2` are used. It cuts cleanly, or not at all; links that are bad are in `links`.

use crate::world::tool;

/// The network's addresses begin so; the last number is the machine's.
const NETWORK: &str = "10.77.0";
const CLIENTS: &str = "10.77.0.200/24";
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

/// The switch and its cables.
pub(crate) struct Cables {
    machines: usize,
    cuts: Vec<(usize, usize, Cut)>,
}

impl Cables {
    /// In a network namespace of this process's own.
    pub(crate) fn lay(machines: usize) -> Self {
        tool(&["mount", "-t", "tmpfs", "none", "/run"]);
        ip("link set lo up");
        ip("link add switch type bridge");
        ip("link set switch up");
        ip(&format!("addr add {CLIENTS} dev switch"));
        for at in 0..machines {
            let (name, address) = (machine(at), address(at));
            ip(&format!("netns add {name}"));
            ip(&format!("link add {name} type veth peer name eth0 netns {name}"));
            ip(&format!("link set {name} master switch up"));
            ip(&format!("-n {name} link set lo up"));
            ip(&format!("-n {name} addr add {address}/24 dev eth0"));
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

    pub(crate) fn machines(&self) -> usize {
        self.machines
    }
}

fn machine(at: usize) -> String {
    format!("m{at}")
}

fn address(at: usize) -> String {
    format!("{NETWORK}.{}", at + 1)
}

fn ip(words: &str) {
    let words: Vec<&str> = std::iter::once("ip").chain(words.split(' ')).collect();
    tool(&words);
}
