//! Whoever watches entries of the dictionary: a line for each entry there is, then one for each that changes.
//!
//! Between two lines of one key there may have been more changes than one; the last one is always told. A watcher that
//! reads too slowly is let go.

use crate::machine::{NO_DICTIONARY, UserMachine};
use crate::operator::listener::{Call, Line};
use crate::operator::{WatchLine, json_of};
use crate::shell::Shell;
use rafty_dictionary::{Entries, EntryCommand};
use rafty_node::Input;
use rafty_types::Index;
use smol::channel::Sender;

/// How many may watch at once.
const MAX_WATCHERS: usize = 64;

/// Who watches what.
#[derive(Default)]
pub(crate) struct Watchers(Vec<Watcher>);

struct Watcher {
    key: Option<Vec<u8>>,
    lines: Sender<Line>,
}

impl Watcher {
    fn wants(&self, key: &[u8]) -> bool {
        self.key.as_deref().is_none_or(|wanted| wanted == key)
    }

    /// `false` when it is not there any more, or does not read.
    fn tell(&self, key: &[u8], entries: &Entries, index: Index) -> bool {
        let (key, value) = (key.to_vec(), entries.get_shared(key));
        // As JSON a value may take long.
        let line = move || {
            let line = WatchLine {
                key: String::from_utf8_lossy(&key).into_owned(),
                found: value.is_some(),
                value: value.map(|value| json_of(&value)).unwrap_or_default(),
                index,
            };
            serde_json::to_string(&line).expect("a line always encodes")
        };
        self.lines.try_send(Line::Later(Box::new(line))).is_ok()
    }

    /// Tells all it wants.
    fn tell_all(&self, entries: &Entries, index: Index) -> bool {
        match &self.key {
            Some(key) => self.tell(key, entries, index),
            None => entries.iter().all(|(key, _)| self.tell(key, entries, index)),
        }
    }
}

impl<U: UserMachine> Shell<U> {
    /// Somebody wants to watch.
    pub(crate) fn watch(&mut self, call: &Call, key: Option<&str>) -> Vec<Input> {
        let Some(entries) = self.node.state().user().dictionary() else {
            call.refuse(NO_DICTIONARY);
            return Vec::new();
        };
        if self.watchers.0.len() >= MAX_WATCHERS {
            call.refuse("too many watch already; nothing was changed; end one of them");
            return Vec::new();
        }
        let watcher = Watcher { key: key.map(|key| key.as_bytes().to_vec()), lines: call.follower() };
        if watcher.tell_all(entries, self.node.state().applied()) {
            self.watchers.0.push(watcher);
        } else {
            call.refuse("there are too many entries to watch them all; watch one key");
        }
        vec![Input::Watch(!self.watchers.0.is_empty())]
    }

    /// A command was applied.
    pub(crate) fn entry_changed(&mut self, index: Index, command: &[u8]) -> Option<Input> {
        let (EntryCommand::Set { key, .. } | EntryCommand::Delete { key }) = EntryCommand::decode(command)?;
        let entries = self.node.state().user().dictionary()?;
        let told = |watcher: &Watcher| !watcher.wants(&key) || watcher.tell(&key, entries, index);
        self.watchers.0.retain(told);
        self.watchers.0.is_empty().then_some(Input::Watch(false))
    }

    /// The state is another one.
    pub(crate) fn entries_restored(&mut self) {
        let applied = self.node.state().applied();
        if let Some(entries) = self.node.state().user().dictionary() {
            self.watchers.0.retain(|watcher| watcher.tell_all(entries, applied));
        }
    }
}
