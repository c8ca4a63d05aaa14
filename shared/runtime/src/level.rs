//! Telling the peer set which feature level this program supports, when it is another than the set knows: the program was
//! updated, or an older one was put in its place.

use crate::machine::UserMachine;
use crate::shell::Shell;
use rafty_dictionary::FEATURE_LEVEL;
use rafty_node::{Input, Request};
use rafty_types::{Command, ControlCommand};
use std::time::Duration;

/// How long that may take to be committed. What could not be is told again when this member looks the next time.
const COMMIT_WITHIN: Duration = Duration::from_secs(5);

impl<U: UserMachine> Shell<U> {
    pub(crate) fn told_level(&mut self) -> Option<Input> {
        let control = self.node.state().control();
        let is_news = control.member(self.me).is_some() && control.supported_by(self.me) != FEATURE_LEVEL;
        if !is_news || !self.node.is_counted() {
            return None;
        }
        let command = Command::Control(ControlCommand::Supports { member: self.me, level: FEATURE_LEVEL });
        Some(self.own_request(Request::Commit { client: None, session: None, command }, COMMIT_WITHIN))
    }
}
