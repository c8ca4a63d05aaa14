//! What a member tells: a line a happening on stderr, and JSON lines to whoever follows.

use crate::log_writer::{LogLevel, log};
use crate::operator::listener::Line;
use crate::operator::wall_us;
use rafty_node::Event;
use rafty_types::{MemberId, printable_json};
use serde::Serialize;
use smol::channel::Sender;

/// How many may follow at once.
const MAX_FOLLOWERS: usize = 64;

/// An event with its place and time.
#[derive(Serialize)]
struct Told<'a> {
    at_ms: u64,
    /// The same, finer.
    at_us: u64,
    /// Not `member`: events have a field of that name.
    on: MemberId,
    #[serde(flatten)]
    event: &'a Event,
}

/// Tells people what happens.
pub(crate) struct Narrator {
    me: MemberId,
    quiet: bool,
    followers: Vec<Sender<Line>>,
    dropped: u64,
}

impl Narrator {
    pub(crate) fn new(me: MemberId, quiet: bool) -> Self {
        Self { me, quiet, followers: Vec::new(), dropped: 0 }
    }

    pub(crate) fn follow(&mut self, follower: Sender<Line>) {
        if self.followers.len() < MAX_FOLLOWERS {
            self.followers.push(follower);
        }
    }

    pub(crate) fn tell(&mut self, event: &Event) {
        let at_us = wall_us();
        let told = Told { at_ms: at_us / 1_000, at_us, on: self.me, event };
        let line = printable_json(&serde_json::to_string(&told).expect("an event always encodes"));
        if !self.quiet {
            log(LogLevel::Info, &line);
        }
        // Who reads too slowly, or has gone, is not waited for.
        self.followers.retain(|follower| follower.try_send(Line::Text(line.clone())).is_ok());
    }

    pub(crate) fn say(&self, text: &str) {
        log(LogLevel::Warning, &format!("member {}: {text}", self.me));
    }

    /// Bytes or messages that cannot be used are counted; told at 1, 2, 4, 8, ... so that a flood fills no disk.
    pub(crate) fn dropped(&mut self, from: MemberId, reason: &str) {
        self.dropped += 1;
        if self.dropped.is_power_of_two() {
            self.say(&format!("dropped something from member {from}: {reason} ({} so far)", self.dropped));
        }
    }
}
