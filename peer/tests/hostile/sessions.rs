//! Sessions of others: a liar goes on with one, ends one, and opens so many that there is room for no more.

use crate::liar::Liar;
use crate::support::peer_set::Folder;
use crate::three_and_a_liar;
use rafty_client::blocking::Connection;
use rafty_client::{Ask, Change};
use rafty_dictionary::{EntryCommand, MAX_SESSIONS};
use rafty_runtime::net::NetEvent;
use rafty_types::{
    Command, ControlCommand, ControlResult, ForwardOutcome, Frame, MemberId, Rejection, Serial, SessionId,
};
use rafty_wire::client::Reply;

/// So many are asked for before the answers are waited for.
const AT_ONCE: u64 = 64;

/// A program on a member's own machine.
struct Program(Connection);

impl Program {
    fn asks(&mut self, ask: Ask) -> Reply {
        Reply::decode(&self.0.ask(ask).expect("an answer")).expect("a reply")
    }

    fn writes(&mut self, value: u8, session: SessionId, serial: Serial) -> Reply {
        let change = Change::Set { key: "colour".into(), value: vec![value] };
        self.asks(Ask::Append { change, session: Some((session, serial)) })
    }
}

/// What the leader makes of a command that a liar passes on.
fn answer(
    liar: &Liar,
    to: MemberId,
    session: Option<(SessionId, Serial)>,
    command: Command,
) -> ControlResult {
    liar.net.send(to, &Frame::Forward { request: 1, session, command: Box::new(command) });
    liar.hears("the leader's answer", |event| match event {
        NetEvent::Frame { frame: Frame::Forwarded { request: 1, outcome }, .. } => match outcome {
            ForwardOutcome::Control(said, _) => Some(said),
            other => panic!("{other:?}"),
        },
        _ => None,
    })
}

fn floods(liar: &Liar, to: MemberId) {
    for _ in 0..=MAX_SESSIONS as u64 / AT_ONCE {
        for request in 1..=AT_ONCE {
            let command = Box::new(Command::Control(ControlCommand::SessionOpened));
            liar.net.send(to, &Frame::Forward { request, session: None, command });
        }
        liar.hears("the last answer", |event| match event {
            NetEvent::Frame { frame: Frame::Forwarded { request, .. }, .. } => {
                (request == AT_ONCE).then_some(())
            }
            _ => None,
        });
    }
}

#[test]
fn a_liar_neither_goes_on_with_sessions_of_others_nor_ends_them_nor_crowds_them_out() {
    let folder = Folder::new();
    let (set, liar) = three_and_a_liar(&folder);
    let leader = &set.members[set.await_leader()];
    let (id, status) = (leader.id().expect("it runs"), leader.status().expect("it runs"));
    let mut program = Program(Connection::open(&status.clients.to_string(), None).expect("it listens"));
    let Reply::Session { session } = program.asks(Ask::Session) else { panic!("no session") };
    assert_eq!(program.writes(1, session, Serial(1)), Reply::done());

    let forged = EntryCommand::Set { key: b"colour".to_vec(), value: vec![9] };
    let goes_on = answer(&liar, id, Some((session, Serial(2))), Command::User(forged.encode()));
    assert_eq!(goes_on, ControlResult::Rejected(Rejection::UnknownSession));
    let ends = answer(&liar, id, None, Command::Control(ControlCommand::SessionClosed { session }));
    assert_eq!(ends, ControlResult::Rejected(Rejection::UnknownSession));
    floods(&liar, id);

    assert_eq!(program.writes(2, session, Serial(2)), Reply::done(), "it is its own");
    assert_eq!(leader.get("colour"), Some(2.into()));
}
