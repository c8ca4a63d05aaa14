//! One machine, step by step: what goes in, and everything that comes out, line by line.

use crate::state::{MemberRecord, State, spec, with_view};
use crate::story;
use rafty_rounds::{
    AttemptKey, Boot, EnvelopeHandle, Input, Output, PendingUpdate, ProposalId, Rounds, Work, WorkId,
    WorkResult,
};
use rafty_types::{
    Attempt, ClusterId, ControlCommand, Digest, EnvelopeKind, Frame, Label, MemberId, Metrics, PeerRole,
    Progress, Protection, Rejection, Round, RunId, Settings, Signature, Tenure, Time, Version,
};
use std::collections::BTreeSet;
use std::time::Duration;

/// One machine and the state it sees; everyone is alive.
struct Script {
    rounds: Rounds,
    state: State,
    me: MemberId,
    now: Time,
}

fn initial() -> Digest {
    Digest::of(b"initial")
}

fn update(member: u64) -> Digest {
    Digest::of(&[member as u8])
}

impl Script {
    /// Member `me` of three agents, in run 1, with version 0 derived and adopted.
    fn new(me: u64, boot: Boot) -> Self {
        let member = |number| MemberRecord {
            id: MemberId(number),
            role: PeerRole::Agent,
            may_lead: true,
            seat: true,
            key: vec![number as u8],
        };
        let members = (1..=3).map(member).collect();
        let state = State { index: 0, tenure: None, run: None, members, settings: Settings::default() };
        let mut script = Self {
            rounds: Rounds::new(boot),
            state,
            me: MemberId(me),
            now: Time::ZERO + Duration::from_secs(1),
        };
        script.apply(1, ControlCommand::RunSubmitted(spec(9)));
        script.done(1, WorkResult::Model { digest: initial() });
        script.done(2, WorkResult::Done);
        script
    }

    /// A tenure of `holder`, opened by entry 2, and round 1, opened by entry 3.
    fn in_round_1(me: u64, holder: u64) -> Self {
        let mut script = Self::new(me, Boot { trains: false, ..Boot::default() });
        script.tenure(holder);
        script.open_round_1(holder);
        script
    }

    fn say(&mut self, input: Input) -> Vec<String> {
        let alive = (1..=3).map(MemberId).collect::<BTreeSet<_>>();
        let (rounds, now) = (&mut self.rounds, self.now);
        let outputs = with_view(&self.state, self.me, true, &alive, |view| rounds.handle(now, view, input));
        outputs.iter().filter_map(line).collect()
    }

    fn apply(&mut self, origin: u64, command: ControlCommand) -> Vec<String> {
        self.state.apply(MemberId(origin), &command).expect("it counts");
        self.say(Input::Applied)
    }

    fn tenure(&mut self, holder: u64) -> Vec<String> {
        let (member, rsa_public) = (MemberId(holder), b"key".to_vec());
        self.apply(
            holder,
            ControlCommand::TenureBegan { member, rsa_public, signature: Signature::default() },
        )
    }

    fn open_round_1(&mut self, holder: u64) -> Vec<String> {
        let AttemptKey { tenure, run, round, .. } = attempt(1);
        let (base, protection) = (Version(0), Protection::None);
        self.apply(holder, ControlCommand::RoundOpened { tenure, run, round, base, protection })
    }

    fn accept(&mut self, member: u64) -> Vec<String> {
        let AttemptKey { tenure, run, round, attempt } = attempt(1);
        let (participant, digest) = (MemberId(member), update(member));
        let (num_examples, collected_ms) = (100, 0);
        let command = ControlCommand::UpdateAccepted {
            tenure,
            run,
            round,
            attempt,
            participant,
            digest,
            num_examples,
            collected_ms,
        };
        self.apply(1, command)
    }

    fn done(&mut self, order: u64, result: WorkResult) -> Vec<String> {
        self.say(Input::WorkDone { order: WorkId(order), result })
    }

    fn envelope(&mut self, from: u64, handle: u64) -> Vec<String> {
        let label = label(attempt(1), EnvelopeKind::Update, from, update(from));
        self.arrive(label, handle)
    }

    fn arrive(&mut self, label: Label, handle: u64) -> Vec<String> {
        self.say(Input::Envelope { from: label.sender, label, for_me: true, handle: EnvelopeHandle(handle) })
    }

    fn frame(&mut self, from: u64, frame: Frame) -> Vec<String> {
        self.say(Input::Frame { from: MemberId(from), frame })
    }

    fn progress(&mut self, from: u64, progress: Progress) -> Vec<String> {
        self.frame(from, Frame::Progress { run: RunId(1), round: Round(1), progress })
    }

    fn wait(&mut self, ms: u64) -> Vec<String> {
        self.now = self.now + Duration::from_millis(ms);
        self.say(Input::Tick)
    }
}

/// An attempt of round 1 in the tenure of entry 2.
fn attempt(number: u64) -> AttemptKey {
    AttemptKey { tenure: Tenure(2), run: RunId(1), round: Round(1), attempt: Attempt(number) }
}

fn label(key: AttemptKey, kind: EnvelopeKind, sender: u64, content: Digest) -> Label {
    let AttemptKey { tenure, run, round, attempt } = key;
    let version = Version(u64::from(kind != EnvelopeKind::Update));
    let (cluster, sender) = (ClusterId([9; 16]), MemberId(sender));
    Label { cluster, tenure, run, round, attempt, version, kind, content, segment: 0, segments: 1, sender }
}

fn opened() -> WorkResult {
    WorkResult::Opened { num_examples: 100, metrics: Metrics::default() }
}

fn line(output: &Output) -> Option<String> {
    Some(match output {
        Output::Propose { id, command } => format!("propose {}: {}", id.0, story::command(command)),
        Output::Work { id, work } => format!("order {}: {}", id.0, order(work)),
        Output::Broadcast { envelope } => format!("broadcast {}", envelope.0),
        Output::SendTo { member, envelope } => format!("send {} to {member}", envelope.0),
        Output::Frame { to: None, frame } => format!("say to all: {}", said(frame)),
        Output::Frame { to: Some(to), frame } => format!("say to {to}: {}", said(frame)),
        Output::DropEnvelope(handle) => format!("drop {}", handle.0),
        Output::Event(_) => return None,
    })
}

fn order(work: &Work) -> String {
    match work {
        Work::DeriveInitial { .. } => "derive".into(),
        Work::Train { round, .. } => format!("train round {round}"),
        Work::StopTraining { order } => format!("stop {}", order.0),
        Work::SealUpdate { label, to, .. } => {
            format!("seal the update for {to}, {}.{}", label.round, label.attempt)
        }
        Work::OpenUpdate { envelope, .. } => format!("open update {}", envelope.0),
        Work::Combine { key, .. } => format!("combine {}.{}", key.round, key.attempt),
        Work::SealModel { recipients, .. } => {
            let to: Vec<_> = recipients.iter().map(|(member, _)| member.to_string()).collect();
            format!("seal the model for {}", to.join(","))
        }
        Work::OpenModel { envelope, .. } => format!("open model {}", envelope.0),
        Work::Adopt { version, .. } => format!("adopt {version}"),
        Work::DropModels { models } => format!("drop {} models", models.len()),
        Work::DropUpdate { .. } => "drop the update".into(),
        Work::ForgetAttempt { key } => format!("forget {}.{}", key.round, key.attempt),
    }
}

fn said(frame: &Frame) -> String {
    match frame {
        Frame::Verdict { verdict, .. } => format!("{verdict:?}"),
        Frame::Progress { progress, .. } => format!("{progress:?}"),
        Frame::Holds { .. } => "Holds".into(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_new_aggregator_opens_the_next_round_once() {
    let mut script = Script::new(1, Boot::default());
    assert_eq!(script.tenure(1), ["propose 1: round 1 opened from version 0"]);
    assert_eq!(script.wait(10), [""; 0], "it is on its way");
    assert_eq!(script.say(Input::ProposalLost { id: ProposalId(1) }), [""; 0]);
    assert_eq!(script.wait(200), ["propose 2: round 1 opened from version 0"]);
    assert_eq!(script.open_round_1(1), ["say to all: NoData"]);
}

#[test]
fn updates_are_opened_one_at_a_time_committed_and_then_confirmed() {
    let mut script = Script::in_round_1(1, 1);
    assert_eq!(script.envelope(2, 50), ["order 3: open update 50"]);
    assert_eq!(script.envelope(3, 51), [""; 0], "it queues");
    assert_eq!(script.envelope(2, 52), ["drop 52"], "one of each");
    assert_eq!(script.envelope(3, 53), ["drop 53"]);
    assert_eq!(
        script.done(3, opened()),
        ["drop 50", "propose 2: round 1.1 accepts 2", "order 4: open update 51"]
    );
    assert_eq!(script.accept(2), ["say to 2: Accepted"]);
    assert_eq!(script.envelope(2, 54), ["say to 2: Accepted", "drop 54"], "the verdict was lost");
    assert_eq!(script.done(4, opened()), ["drop 51", "propose 3: round 1.1 accepts 3"]);
    assert_eq!(script.progress(1, Progress::NoData), [""; 0]);
    assert_eq!(script.accept(3), ["say to 3: Accepted", "order 5: combine 1.1"]);
    assert_eq!(
        script.done(5, WorkResult::Model { digest: Digest::of(b"new") }),
        ["order 6: seal the model for 2,3"]
    );
    let sealed = WorkResult::Sealed { envelope: EnvelopeHandle(60) };
    assert_eq!(script.done(6, sealed), ["broadcast 60"]);
    assert_eq!(script.frame(77, Frame::Holds { model: Digest::of(b"new") }), [""; 0], "a stranger");
    assert_eq!(script.frame(2, Frame::Holds { model: Digest::of(b"old") }), [""; 0], "another model");
    assert_eq!(script.wait(1_000), ["send 60 to 2", "send 60 to 3"]);
    assert_eq!(
        script.frame(3, Frame::Holds { model: Digest::of(b"new") }),
        ["propose 4: round 1.1 published as version 1 of 2,3"]
    );
    assert_eq!(script.wait(2_000), ["send 60 to 2"], "more slowly");
}

#[test]
fn what_was_opened_for_an_attempt_that_is_over_is_forgotten_once_more() {
    let mut script = Script::in_round_1(1, 1);
    script.envelope(2, 50);
    script.envelope(3, 51);
    assert_eq!(script.tenure(1)[..2], ["drop 51", "order 4: forget 1.1"]);
    assert_eq!(script.done(3, opened()), ["drop 50", "order 5: forget 1.1"]);
    let late = WorkResult::Sealed { envelope: EnvelopeHandle(70) };
    assert_eq!(script.done(99, late), ["drop 70"], "whatever nobody waits for is dropped");
}

#[test]
fn a_failing_worker_costs_one_sending_and_no_blame() {
    let mut script = Script::in_round_1(1, 1);
    script.envelope(2, 50);
    assert_eq!(script.done(3, WorkResult::Failed("disk".into())), ["drop 50"]);
    assert_eq!(script.envelope(2, 51), ["order 4: open update 51"]);
}

#[test]
fn an_update_that_the_log_does_not_want_ends_the_attempt_and_is_not_folded_again() {
    let mut script = Script::in_round_1(1, 1);
    script.envelope(2, 50);
    script.done(3, opened());
    let why = Rejection::Invalid("too heavy".into());
    let failed = "round 1.1 failed: the update of member 2 does not count: too heavy";
    assert_eq!(
        script.say(Input::ProposalRejected { id: ProposalId(2), why }),
        [format!("propose 3: {failed}")]
    );
    let AttemptKey { tenure, run, round, attempt: number } = attempt(1);
    let reason = String::new();
    let lines = script.apply(1, ControlCommand::RoundFailed { tenure, run, round, attempt: number, reason });
    assert_eq!(lines[0], "order 4: forget 1.1");
    let again = label(attempt(2), EnvelopeKind::Update, 2, update(2));
    assert_eq!(script.arrive(again, 51), ["say to 2: Refused(BadWeight)", "drop 51"]);
}

#[test]
fn combining_that_fails_gives_the_attempt_up() {
    let mut script = Script::in_round_1(1, 1);
    script.progress(1, Progress::NoData);
    script.progress(3, Progress::NoData);
    script.envelope(2, 50);
    script.done(3, opened());
    assert_eq!(script.accept(2), ["say to 2: Accepted", "order 4: combine 1.1"]);
    assert_eq!(
        script.done(4, WorkResult::Failed("the disk is full".into())),
        ["propose 3: round 1.1 failed: the updates could not be combined: the disk is full"]
    );
}

#[test]
fn a_lone_publication_is_sealed_again_for_a_voter_that_came_later() {
    let mut script = Script::in_round_1(1, 1);
    script.progress(1, Progress::NoData);
    script.progress(3, Progress::NoData);
    script.envelope(2, 50);
    script.done(3, opened());
    script.accept(2);
    script.done(4, WorkResult::Model { digest: Digest::of(b"new") });
    assert_eq!(script.done(5, WorkResult::Sealed { envelope: EnvelopeHandle(60) }), ["broadcast 60"]);
    let newcomer = MemberRecord {
        id: MemberId(4),
        role: PeerRole::Peer,
        may_lead: true,
        seat: true,
        key: b"late".to_vec(),
    };
    script.state.members.push(newcomer);
    assert_eq!(script.say(Input::Applied), ["drop 60", "order 6: seal the model for 2,3,4"]);
}

#[test]
fn a_participant_trains_once_and_seals_for_every_attempt() {
    let mut script = Script::new(2, Boot { trains: true, ..Boot::default() });
    script.tenure(1);
    assert_eq!(script.open_round_1(1), ["order 3: train round 1", "say to all: Training(0)"]);
    let trained = WorkResult::Trained { update: update(2), num_examples: 100 };
    assert_eq!(script.done(3, trained), ["order 4: seal the update for 1, 1.1", "say to all: Sending"]);
    assert_eq!(script.tenure(3), ["order 5: seal the update for 3, 1.2", "say to all: Sending"]);
    assert_eq!(script.done(4, WorkResult::Sealed { envelope: EnvelopeHandle(7) }), ["drop 7"], "too late");
    assert_eq!(script.done(5, WorkResult::Sealed { envelope: EnvelopeHandle(8) }), ["broadcast 8"]);
    assert_eq!(script.wait(1_999), [""; 0]);
    assert_eq!(script.wait(1), ["send 8 to 3"]);
    assert_eq!(script.wait(3_999), [""; 0]);
    assert_eq!(script.wait(1), ["send 8 to 3"], "more slowly");
}

#[test]
fn an_update_on_disk_waits_for_its_round_to_come_back_into_view() {
    let (run, round) = (RunId(1), Round(1));
    let pending = PendingUpdate { run, round, update: update(2), base: initial(), num_examples: 100 };
    let mut script = Script::new(2, Boot { pending: Some(pending), held: vec![initial()], trains: true });
    script.tenure(1); // the view has not caught up yet: no round is open
    assert_eq!(script.open_round_1(1), ["order 3: seal the update for 1, 1.1", "say to all: Sending"]);
}

#[test]
fn an_update_of_a_later_round_waits_while_the_view_catches_up() {
    let (run, round) = (RunId(1), Round(2));
    let pending = PendingUpdate { run, round, update: update(2), base: Digest::of(b"1"), num_examples: 100 };
    let mut script = Script::new(2, Boot { pending: Some(pending), held: vec![initial()], trains: true });
    script.tenure(1);
    assert_eq!(script.open_round_1(1), ["say to all: Training(100)"], "round 1 is long over");
}

#[test]
fn what_another_process_had_accepted_is_given_up_since_its_accumulator_is_gone() {
    let mut script = Script::in_round_1(1, 1);
    script.accept(2);
    let mut restarted = Script::new(1, Boot::default());
    restarted.state = script.state;
    let given_up = "round 1.1 failed: what this attempt accepted before is not in memory any more";
    assert_eq!(restarted.say(Input::Applied).last(), Some(&format!("propose 1: {given_up}")));
}

#[test]
fn a_publication_that_comes_before_its_attempt_waits_for_it_and_then_is_opened() {
    let mut script = Script::new(2, Boot::default());
    let model = Digest::of(b"new");
    let early = label(attempt(1), EnvelopeKind::Publication, 1, model);
    assert_eq!(script.arrive(early.clone(), 50), [""; 0]);
    script.tenure(1);
    assert_eq!(script.open_round_1(1), ["order 3: open model 50", "say to all: NoData"]);
    assert_eq!(script.arrive(early.clone(), 51), ["drop 51"], "it is being opened");
    assert_eq!(script.done(3, WorkResult::Model { digest: model }), ["drop 50", "say to 1: Holds"]);
    assert_eq!(script.arrive(early, 52), ["say to 1: Holds", "drop 52"], "the answer was lost");
}

#[test]
fn a_publication_whose_attempt_never_comes_is_dropped_after_a_while() {
    let mut script = Script::new(2, Boot::default());
    let never = label(attempt(1), EnvelopeKind::Publication, 1, Digest::of(b"new"));
    script.arrive(never, 50);
    assert_eq!(script.wait(9_999), [""; 0]);
    assert_eq!(script.wait(1), ["drop 50"]);
}

#[test]
fn a_publication_of_one_who_is_not_the_aggregator_is_dropped() {
    let mut script = Script::in_round_1(2, 1);
    let planted = label(attempt(1), EnvelopeKind::Publication, 3, Digest::of(b"planted"));
    assert_eq!(script.arrive(planted, 50), ["drop 50"]);
}

#[test]
fn a_participant_that_applied_the_opening_before_the_aggregator_is_waited_for() {
    let mut script = Script::new(1, Boot { trains: false, ..Boot::default() });
    script.tenure(1);
    let progress = Progress::Training(9);
    let frame = Frame::Progress { run: RunId(1), round: Round(1), progress };
    script.say(Input::Frame { from: MemberId(2), frame });
    script.open_round_1(1);
    script.now = script.now + Duration::from_secs(20);
    script.say(Input::Tick);
    let alive = (1..=3).map(MemberId).collect::<BTreeSet<_>>();
    let waits =
        with_view(&script.state, script.me, true, &alive, |view| script.rounds.waiting_for(view, script.now));
    assert!(waits.contains("member 2") && !waits.contains("member 3"), "{waits}");
}

#[test]
fn an_update_that_comes_before_its_attempt_is_applied_here_waits_for_it() {
    let mut script = Script::new(1, Boot { trains: false, ..Boot::default() });
    assert_eq!(script.envelope(2, 50), [""; 0], "the tenure is not known here yet");
    assert_eq!(script.envelope(2, 51), ["drop 50"], "one of each, the newer one");
    script.tenure(1);
    let opened = script.open_round_1(1);
    assert!(opened.contains(&"order 3: open update 51".to_string()), "{opened:?}");

    let mut script = Script::new(1, Boot { trains: false, ..Boot::default() });
    assert_eq!(script.envelope(2, 50), [""; 0]);
    assert_eq!(script.wait(10_000), ["drop 50"], "its attempt never came");
}
