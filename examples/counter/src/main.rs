//! A counter that all members agree on: a state machine of one's own, without rounds, and a client of one's own for it.

use rafty_client::{ClientError, Session, blocking::ClusterClient};
use rafty_runtime::setup::{Founding, Joining, found_with, join};
use rafty_runtime::{Running, UserMachine, up_with};
use rafty_types::{Digest, Index, RestoreError, Settings, StateMachine, Term};
use std::error::Error;
use std::io::{Read, read_to_string, stdin};

const USAGE: &str =
    "found DIR LISTEN | join DIR LISTEN TOKEN|- PEER | up DIR | add NUMBER MEMBER | show MEMBER";

/// Longest token that is read from standard input, in bytes.
const MAX_TOKEN_LEN: u64 = 4096;

#[derive(Clone, Default)]
struct Counter(i64);

impl StateMachine for Counter {
    fn apply(&mut self, _: Index, _: Term, command: &[u8]) -> Vec<u8> {
        self.0 = self.0.wrapping_add(number(command).unwrap_or(0));
        self.snapshot()
    }
    fn snapshot(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        self.0 = number(snapshot).ok_or_else(|| RestoreError("a counter has 8 bytes".into()))?;
        Ok(())
    }
    fn digest(&self) -> Digest {
        Digest::of(&self.snapshot())
    }
}

impl UserMachine for Counter {
    fn query(&self, _: &[u8]) -> Vec<u8> {
        self.snapshot()
    }
}

fn number(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_le_bytes)
}

/// A client that speaks of counting. Each addition counts once, however often it must be sent.
struct CounterClient(ClusterClient, Session);

impl CounterClient {
    fn new(member: &str) -> Result<Self, ClientError> {
        Ok(Self(ClusterClient::new([member])?, Session::default()))
    }
    fn add(&mut self, by: i64) -> Result<Option<i64>, ClientError> {
        self.0.command_once(&mut self.1, &by.to_le_bytes()).map(|total| number(&total))
    }
    fn total(&self) -> Result<Option<i64>, ClientError> {
        self.0.query(&[]).map(|total| number(&total))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["found", dir, listen] => {
            let (listen, settings) = (listen.parse()?, Settings::default());
            let name = "counter".into();
            found_with(&Founding { dir: dir.into(), name, listen, advertise: None, settings }, Counter(0))?;
        }
        ["join", dir, listen, token, peer] => {
            // Every user of this machine sees the arguments of a program.
            let token =
                if token == "-" { read_to_string(stdin().take(MAX_TOKEN_LEN))? } else { token.into() };
            let (peers, listen) = (vec![peer.parse()?], listen.parse()?);
            join(&Joining { dir: dir.into(), token, peers, listen, advertise: None, data: None })?;
        }
        ["up", dir] => up_with(Running::new(dir), Counter(0))?,
        ["add", by, member] => {
            println!("{}", CounterClient::new(member)?.add(by.parse()?)?.unwrap_or_default())
        }
        ["show", member] => println!("{}", CounterClient::new(member)?.total()?.unwrap_or_default()),
        _ => return Err(USAGE.into()),
    }
    Ok(())
}
