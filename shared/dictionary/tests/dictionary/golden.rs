//! Golden scripts of the replicated state: who issues which command, and below it what everybody is told.
//!
//! Each file in `tests/scripts` is one; its commands are those of [`Command`], told of members by name. A line is one
//! entry: its index, the answer, and the events. Tags say how a command is issued: `[late]` in the term before,
//! `[old]` for the round and tenure that the command before was for, `[7/1]` in session 7 with serial 1. After a refusal nothing but the index may have changed; that is checked.

use crate::script::*;
use goldenscript::{Context, Runner};
use rafty_dictionary::{Applied, Entries, EntryCommand, EntryResult, Event, Outcome, Replicated};
use rafty_types::ControlCommand as C;
use rafty_types::*;
use std::error::Error;
use std::path::PathBuf;

#[derive(goldenscript::Command)]
enum Command {
    /// A peer set of which this member is the founder.
    Found(String),
    /// This member is elected: a new term.
    Elected(String),
    /// Hours pass on the leaders' clock.
    Hours(i64),
    /// Makes a token, valid for an hour.
    Token {
        by: String,
        name: String,
        #[arg(key, optional)]
        peer: bool,
        #[arg(key)]
        uses: Option<u32>,
        #[arg(key)]
        may_lead: Option<bool>,
    },
    /// Somebody joins by a token, over a connection of a number; the token's secret may be another's.
    Enrol {
        who: String,
        token: String,
        #[arg(key, optional)]
        over: u8,
        #[arg(key)]
        secret: Option<String>,
    },
    /// A member that lost its log joins again.
    Rejoin(String, #[arg(key = "over", optional)] u8),
    /// Sends a member away.
    Revoke(String, String),
    /// Gives and takes seats.
    Seat {
        by: String,
        #[arg(key)]
        give: Option<String>,
        #[arg(key)]
        take: Option<String>,
    },
    /// A member has a new participant key, which it may have another sign.
    Rotate(String, String, #[arg(key = "signed")] Option<String>),
    /// A member is found at another port.
    Move(String, u16, #[arg(key = "signed")] Option<String>),
    /// A leader says that a member is silent, or heard again.
    Silence(String, String, bool),
    /// A leader begins a tenure with a key of a name.
    Begin(String, String, #[arg(key = "signed")] Option<String>),
    /// Submits a run of so many rounds.
    Submit(String, u32),
    /// Stops the active run.
    Stop(String),
    /// Opens the run's next round.
    Open(String),
    /// An aggregator takes somebody's update in.
    Accept(String, String, String),
    /// An aggregator publishes a model made from these updates.
    Publish(String, String, #[arg(key, many)] Vec<(String, String)>),
    /// An aggregator gives an attempt up.
    Fail(String, String),
    /// The run's current version is an older one again.
    RollBack(String, u64),
    /// Opens a session, or closes one.
    Session(String, Option<u64>),
    /// Writes or deletes an entry.
    Set(String, String, String),
    Delete(String, String),
    /// Lets a client of a name in, or out again.
    Client(String, String),
    RevokeClient(String, String),
    /// Says which feature level a member's program supports.
    Supports(String, u32),
    /// Allows commands of a feature level; those named in the third place, with `/` between them, need not support it.
    Feature(String, u32, Option<String>),
    /// An entry that nobody can read.
    Garbage,
    /// Shows everything.
    Show,
    /// A newcomer takes the state over by a snapshot and goes on with it; its digest is the same.
    Snapshot,
}

/// Which round a command is for.
#[derive(Clone, Copy, Default)]
struct Place {
    tenure: Tenure,
    run: RunId,
    round: Round,
    attempt: Attempt,
    version: Version,
}

#[derive(Default)]
struct Book {
    story: Option<Script>,
    /// Which round the command before was for.
    place: Place,
}

type Told = Result<String, Box<dyn Error>>;

impl Runner for Book {
    type Command = Command;

    fn run(&mut self, command: &Command, context: &Context) -> Told {
        if let Command::Found(name) = command {
            self.story = Some(Script::founded_by(name));
            return Ok(String::new());
        }
        let story = self.story.as_mut().ok_or("found a peer set first")?;
        match command {
            Command::Elected(who) => {
                story.term = story.term.next();
                story.append(Payload::Empty);
                return Ok(format!("{}: {who} leads term {}", story.state.applied(), story.term));
            }
            Command::Hours(hours) => {
                story.now_ms = story.now_ms.saturating_add_signed(hours * HOUR_MS as i64);
                return Ok(String::new());
            }
            Command::Garbage => {
                let applied = story.append(Payload::Command([255; 40].into()));
                return Ok(told(story, &applied));
            }
            Command::Show => return Ok(show(story)),
            Command::Snapshot => {
                let mut newcomer = Replicated::new(Entries::default());
                newcomer.restore(&story.state.snapshot())?;
                let same = newcomer.digest() == story.state.digest();
                story.state = newcomer;
                return Ok(format!("the same digest: {same}"));
            }
            _ => {}
        }
        if !context.tags.contains("old") {
            self.place = place(story);
        }
        let signer = match command {
            Command::Rotate(.., signer) | Command::Move(.., signer) | Command::Begin(.., signer) => {
                signer.as_deref()
            }
            _ => None,
        };
        let (who, command) = issued(story, self.place, command);
        let by = story.known(who);
        let issue = match signer {
            Some(signer) => story.issue_signed_by(signer, by, &command),
            None => story.issue(by, &command),
        };
        let mut proposal = Proposal { issue, ..story.proposal(by, command) };
        for tag in context.tags.iter().filter(|tag| *tag != "old") {
            match tag.split_once('/') {
                Some((id, serial)) => {
                    proposal.session = Some((SessionId(id.parse()?), Serial(serial.parse()?)))
                }
                None if tag == "late" => proposal.term = Term(proposal.term.0 - 1),
                None => return Err(format!("no such tag: {tag}").into()),
            }
        }
        let before = story.state.clone();
        let applied = story.propose(&proposal);
        if why(&applied).is_some() {
            assert_eq!(story.state.control(), before.control(), "a refused command changed something");
            assert_eq!(story.state.user(), before.user(), "a refused command changed something");
        } else if let rafty_types::Command::Control(C::Enrol(enrolment)) = &proposal.command {
            let name = NAMES.iter().find(|name| key_of(name) == enrolment.statement.key);
            story.knows(name.expect("a newcomer of a known name"));
        }
        Ok(told(story, &applied))
    }
}

/// Who may come along in a script; a key does not tell the name.
const NAMES: [&str; 7] = ["ann", "bob", "cid", "dan", "eve", "fay", "gus"];

fn place(story: &Script) -> Place {
    let tenure = story.tenure();
    let Some(run) = story.state.control().active_run() else { return Place { tenure, ..Place::default() } };
    let (round, attempt) =
        run.open.as_ref().map_or((run.round.next(), Attempt(1)), |open| (open.round, open.attempt));
    Place { tenure, run: run.id, round, attempt, version: run.version }
}

/// Who issues which command.
fn issued<'a>(story: &Script, place: Place, command: &'a Command) -> (&'a str, rafty_types::Command) {
    let control = rafty_types::Command::Control;
    let user = |command: EntryCommand| rafty_types::Command::User(command.encode());
    let id = |name: &String| story.known(name);
    let list = |names: &Option<String>| -> Vec<_> {
        names.iter().flat_map(|names| names.split('/')).map(|name| id(&name.to_owned())).collect()
    };
    match command {
        Command::Set(by, key, value) => {
            (by, user(EntryCommand::Set { key: key.as_bytes().into(), value: value.as_bytes().into() }))
        }
        Command::Delete(by, key) => (by, user(EntryCommand::Delete { key: key.as_bytes().into() })),
        Command::Open(by) | Command::Accept(by, ..) | Command::Publish(by, ..) | Command::Fail(by, _) => {
            (by, control(round_command(story, place, command)))
        }
        Command::Rotate(who, key, _) => {
            (who, control(C::RotateKey { member: id(who), rsa_public: rsa_of(key) }))
        }
        Command::Move(who, port, _) => {
            (who, control(C::AddressChanged { member: id(who), addresses: vec![address(*port)] }))
        }
        Command::Begin(who, key, _) => {
            (who, control(C::TenureBegan { member: id(who), rsa_public: rsa_of(key) }))
        }
        Command::Token { by, name, peer, uses, may_lead } => {
            let role = if *peer { MemberKind::Operator } else { MemberKind::Agent };
            let record = token(name, role, uses.unwrap_or(1));
            let may_lead = may_lead.unwrap_or(true);
            (by, control(C::TokenCreated(TokenRecord { may_lead, ..record })))
        }
        Command::Enrol { who, token: name, over, secret } => {
            let any = token(name, MemberKind::Agent, 1);
            ("ann", control(C::Enrol(enrolment(who, &any, secret.as_ref().unwrap_or(name), *over))))
        }
        Command::Rejoin(who, over) => ("ann", control(C::Enrol(again(who, id(who), *over)))),
        Command::Revoke(by, who) => (by, control(C::Revoke { member: id(who) })),
        Command::Seat { by, give, take } => {
            (by, control(C::SeatChanged { give: list(give), take: list(take) }))
        }
        Command::Silence(by, who, silent) => {
            (by, control(C::ReachabilityChanged { member: id(who), silent: *silent }))
        }
        Command::Submit(by, rounds) => (by, control(C::RunSubmitted(run_spec(*rounds)))),
        Command::Stop(by) => (by, control(C::RunStopped { run: place.run })),
        Command::RollBack(by, version) => {
            (by, control(C::RolledBack { run: place.run, version: Version(*version) }))
        }
        Command::Session(by, None) => (by, control(C::SessionOpened)),
        Command::Session(by, Some(session)) => {
            (by, control(C::SessionClosed { session: SessionId(*session) }))
        }
        Command::Client(by, name) => (by, control(C::ClientCreated(client(name)))),
        Command::RevokeClient(by, name) => (by, control(C::ClientRevoked { name: name.clone() })),
        Command::Supports(who, level) => (who, control(C::Supports { member: id(who), level: *level })),
        Command::Feature(by, level, without) => {
            (by, control(C::FeatureLevel { level: *level, without: list(without) }))
        }
        Command::Found(_)
        | Command::Elected(_)
        | Command::Hours(_)
        | Command::Garbage
        | Command::Show
        | Command::Snapshot => {
            unreachable!("no entry")
        }
    }
}

fn round_command(story: &Script, place: Place, command: &Command) -> C {
    let Place { tenure, run, round, attempt, version } = place;
    match command {
        Command::Accept(_, who, update) => C::UpdateAccepted {
            tenure,
            run,
            round,
            attempt,
            participant: story.known(who),
            digest: digest(update),
            num_examples: 100,
            collected_ms: 1_000,
            arrived_ms: Some(1_000),
        },
        Command::Publish(_, model, counted) => C::RoundPublished(Publication {
            tenure,
            run,
            round,
            attempt,
            counted: counted.iter().map(|(who, update)| (story.known(who), digest(update))).collect(),
            refused: Vec::new(),
            resting: Vec::new(),
            version: version.next(),
            model: digest(model),
            metrics: Metrics::default(),
            duration_ms: 2_000,
        }),
        Command::Fail(_, reason) => C::RoundFailed { tenure, run, round, attempt, reason: reason.clone() },
        _ => C::RoundOpened { tenure, run, round, base: version, protection: Protection::None },
    }
}

fn told(story: &Script, applied: &Applied) -> String {
    let answer = match &applied.outcome {
        None => "nothing".to_owned(),
        Some(Outcome::Control(ControlResult::Rejected(why), _)) => format!("refused: {why}"),
        Some(Outcome::Control(ControlResult::Done, first)) => at(*first, applied.index, "done"),
        Some(Outcome::User(answer, first)) => match EntryResult::decode(answer) {
            Some(EntryResult::Done) => at(*first, applied.index, "done"),
            Some(EntryResult::Missing) => at(*first, applied.index, "no such key"),
            Some(EntryResult::Refused(why)) => format!("refused: {why}"),
            None => "no answer of the dictionary's".to_owned(),
        },
    };
    let events: String = applied.events.iter().map(|one| format!("; {}", event(story, one))).collect();
    format!("{}: {answer}{events}", applied.index)
}

/// What was done before says where.
fn at(first: Index, now: Index, what: &str) -> String {
    if first == now { what.to_owned() } else { format!("{what} before, at {first}") }
}

fn event(story: &Script, event: &Event) -> String {
    match event {
        Event::Revoked(id, _) => format!("m{id} revoked"),
        Event::Replaced { old, new } => format!("m{old} replaced by m{new}"),
        Event::TenureBegan => format!("tenure {} began", story.tenure()),
        Event::RunSubmitted(run) => format!("run {run} submitted"),
        Event::RunEnded(run) => format!("run {run} ended"),
        Event::SettingChanged { name, value } => format!("{name} is {value}"),
        Event::RoundOpened { round, .. } => format!("round {round} opened"),
        Event::UpdateAccepted { participant, attempt, .. } => {
            format!("update of m{participant} accepted in attempt {attempt}")
        }
        Event::RoundPublished { round, version, .. } => format!("round {round} published version {version}"),
        Event::RoundFailed { round, attempt, reason, .. } => {
            format!("attempt {attempt} of round {round} failed: {reason}")
        }
        Event::RolledBack { version, .. } => format!("rolled back to version {version}"),
        Event::Halted { level } => format!("halted by feature level {level}"),
        Event::RosterChanged => "roster changed".to_owned(),
        Event::SeatsChanged => "seats changed".to_owned(),
    }
}

fn show(story: &Script) -> String {
    let control = story.state.control();
    let mut lines = Vec::new();
    for member in control.members().values() {
        let name = NAMES.iter().find(|name| key_of(name) == member.key).unwrap_or(&"?");
        let seat = if member.seat { "voter" } else { "learner" };
        let hours = |since: u64| format!(", silent for {} h", (story.state.elapsed_ms() - since) / HOUR_MS);
        let silent = control.silent_since_ms(member.id).map_or(String::new(), hours);
        let reachable = control.reachable_ms(member.id, story.state.elapsed_ms()) / HOUR_MS;
        let reachable = if reachable == 0 { String::new() } else { format!(", reachable for {reachable} h") };
        let leads = if member.may_lead { "" } else { ", may not lead" };
        let (id, role, tenures, at) = (member.id, member.role, member.tenures, member.addresses[0].port());
        lines.push(format!(
            "m{id} {name}: {role}, {seat}, {tenures} tenures, port {at}{leads}{silent}{reachable}"
        ));
    }
    let tokens = control.tokens().values().map(|token| format!("token for {} more", token.record.uses));
    lines.extend(tokens.chain(control.clients().keys().map(|name| format!("client {name}"))));
    if let Some(tenure) = control.tenure() {
        let published = control.tenure_history().back().map_or(0, |record| record.rounds_published);
        let (id, holder, term) = (tenure.tenure, tenure.member, tenure.term);
        lines.push(format!("tenure {id} of m{holder} in term {term}, {published} rounds published"));
    }
    for run in control.runs().values() {
        let id = run.id;
        lines.push(format!("run {id}: {:?}, round {}, version {}", run.status, run.round, run.version));
        for past in &run.history {
            let from: Vec<_> = past.counted.iter().map(|(who, ..)| format!("m{who}")).collect();
            let (round, attempt, version) = (past.round, past.attempt, past.version);
            let place = format!("round {round}, attempt {attempt}, made version {version}");
            lines.push(format!("  {place} by m{}: [{}]", past.aggregator, from.join(" ")));
        }
        if let Some(open) = &run.open {
            let from: Vec<_> = open.accepted.keys().map(|who| format!("m{who}")).collect();
            let (round, attempt, base, failed) = (open.round, open.attempt, open.base, open.failed);
            let place = format!("round {round}, attempt {attempt} ({failed} failed), from version {base}");
            lines.push(format!("  {place}, {} ms: [{}]", open.collected_ms, from.join(" ")));
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    lines.extend(story.state.user().iter().map(|(key, value)| format!("{} = {}", text(key), text(value))));
    lines.join("\n")
}

#[test]
fn scripts() {
    let scripts = std::fs::read_dir("tests/scripts").unwrap().map(|script| script.unwrap().path());
    let run = |path: PathBuf| {
        let outcome = goldenscript::run(&mut Book::default(), &path);
        outcome.err().map(|error| format!("{}: {error}", path.display()))
    };
    let broken: Vec<_> = scripts.filter_map(run).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}
