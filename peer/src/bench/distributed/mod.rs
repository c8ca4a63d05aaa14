//! The distributed benchmark: a head, servers and clients, each wherever it is started.
//!
//! Only the head is configured. It founds a peer set and writes into its dictionary what is to be measured. Servers and
//! clients are given its address and find everything else there: servers join, clients start each run together and leave
//! their results where the head collects them. Between machines clients speak TLS, and the head's address has a token
//! in it.

mod board;
pub(crate) mod client;
pub(crate) mod head;
pub(crate) mod server;

use super::figures::Seen;
use super::load::Kind;
use rafty_agent::Failure;
use rafty_agent::secret::Secret;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where everything stands in the dictionary.
const PLAN: &str = "bench/plan";
const RUN: &str = "bench/run";
const SERVING: &str = "bench/serving/";
const READY: &str = "bench/ready/";
const ANSWERED: &str = "bench/answered/";
const RESULTS: &str = "bench/result/";

/// The run after the last.
const OVER: u32 = u32::MAX;

/// What a server or a client needs to know of the head: `HOST:PORT`, and from other machines a token behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeadAddress {
    pub(crate) member: String,
    pub(crate) token: Option<String>,
}

impl HeadAddress {
    /// What an argument names.
    fn read(argument: &Secret) -> Result<Self, Failure> {
        let what = "the head's address";
        argument.read(what)?.parse().map_err(|why| Failure::usage(format!("{what} cannot be used: {why}")))
    }

    /// How an argument names it: one with a token goes by standard input, as other users see arguments.
    fn as_argument(&self) -> String {
        if self.token.is_some() { format!("- <<< {self}") } else { self.to_string() }
    }
}

impl FromStr for HeadAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (member, token) =
            text.split_once('/').map_or((text, None), |(member, token)| (member, Some(token)));
        if !member.contains(':') || member.ends_with(':') || token.is_some_and(str::is_empty) {
            return Err("write it as the head printed it: HOST:PORT or HOST:PORT/TOKEN");
        }
        Ok(Self { member: member.into(), token: token.map(Into::into) })
    }
}

impl fmt::Display for HeadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.token {
            Some(token) => write!(f, "{}/{token}", self.member),
            None => f.write_str(&self.member),
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct TestPlan {
    /// Admits the servers.
    admission: String,
    runs: Vec<RunPlan>,
}

/// One run: so many requests over all clients, by so many workers of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RunPlan {
    entries: u32,
    workers: u16,
    kind: Kind,
}

/// What became of one run at one client.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Outcome {
    Measured(Seen),
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_s_address_is_read_as_it_is_printed() {
        for text in ["127.0.0.1:7400", "[::1]:7400", "laptop.local:7400/rafty-client-abc"] {
            assert_eq!(text.parse::<HeadAddress>().unwrap().to_string(), text);
        }
        for wrong in ["", "laptop", "laptop:", "laptop:1/"] {
            wrong.parse::<HeadAddress>().unwrap_err();
        }
        let with_token: HeadAddress = "laptop.local:7400/rafty-client-abc".parse().unwrap();
        assert_eq!(with_token.as_argument(), "- <<< laptop.local:7400/rafty-client-abc");
    }
}
