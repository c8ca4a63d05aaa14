//! One machine and the state that it sees, told of in lines: what goes in, and everything that comes out.

use crate::state::{MemberRecord, State, spec, with_view};
use crate::story;
use rafty_rounds::{
    AttemptKey, Boot, EnvelopeHandle, Input, Output, PendingUpdate, Rounds, View, Work, WorkId, WorkResult,
};
use rafty_types::{
    Attempt, ClusterId, ControlCommand, Digest, EnvelopeKind, Frame, Label, MemberId, MemberKind, Metrics,
    Progress, Protection, Publication, Refusal, Round, RunId, Settings, Tenure, Time, Verdict, Version,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// One machine and the state it sees.
pub(crate) struct One {
    rounds: Rounds,
    state: State,
    me: MemberId,
    now: Time,
    boot: Boot,
    last_order: u64,
    /// Who is silent, and how long.
    silent: BTreeMap<MemberId, Duration>,
}

fn initial() -> Digest {
    Digest::of(b"initial")
}

fn update(member: u64) -> Digest {
    Digest::of(&[member as u8])
}

impl One {
    /// Member `me` of three agents, in run 1, with version 0 derived and adopted; `pending` is the round of the update on
    /// its disk.
    pub(crate) fn new(me: u64, trains: bool, pending: Option<u64>) -> Self {
        let members = (1..=3).map(record).collect();
        let state = State { index: 0, tenure: None, run: None, members, settings: Settings::default() };
        let base = |round| if round == 1 { initial() } else { Digest::of(b"later") };
        let pending = pending.map(|round| PendingUpdate {
            run: RunId(1),
            round: Round(round),
            update: update(me),
            base: base(round),
            num_examples: 100,
        });
        let held = pending.map(|_| initial()).into_iter().collect();
        let boot = Boot { pending, held, trains };
        let now = Time::ZERO + Duration::from_secs(1);
        let mut one = Self {
            rounds: Rounds::new(boot.clone()),
            state,
            me: MemberId(me),
            now,
            boot,
            last_order: 0,
            silent: BTreeMap::new(),
        };
        one.apply(1, ControlCommand::RunSubmitted(spec(9)));
        one.adopt();
        one
    }

    /// Version 0 is derived and adopted, which are its first two orders.
    fn adopt(&mut self) {
        self.done(1, WorkResult::Model { digest: initial() });
        self.done(2, WorkResult::Done);
    }

    /// Another process with the same disk.
    pub(crate) fn restart(&mut self) -> Vec<String> {
        self.rounds = Rounds::new(Boot { held: vec![initial()], ..self.boot.clone() });
        self.say(Input::Applied)
    }

    pub(crate) fn say(&mut self, input: Input) -> Vec<String> {
        let (rounds, now) = (&mut self.rounds, self.now);
        let outputs = with_view(&self.state, self.me, true, &self.silent, &BTreeMap::new(), |view| {
            rounds.handle(now, view, input)
        });
        let orders = outputs.iter().filter_map(|output| match output {
            Output::Work { id, .. } => Some(id.0),
            _ => None,
        });
        self.last_order = orders.max().unwrap_or(self.last_order);
        outputs.iter().filter_map(line).collect()
    }

    fn apply(&mut self, origin: u64, command: ControlCommand) -> Vec<String> {
        self.state.apply(MemberId(origin), &command).expect("it counts");
        self.say(Input::Applied)
    }

    pub(crate) fn tenure(&mut self, holder: u64) -> Vec<String> {
        let (member, rsa_public) = (MemberId(holder), b"key".to_vec());
        self.apply(holder, ControlCommand::TenureBegan { member, rsa_public })
    }

    pub(crate) fn open_round_1(&mut self, holder: u64) -> Vec<String> {
        let AttemptKey { tenure, run, round, .. } = self.attempt(None);
        let (base, protection) = (Version(0), Protection::None);
        self.apply(holder, ControlCommand::RoundOpened { tenure, run, round, base, protection })
    }

    pub(crate) fn accept(&mut self, member: u64) -> Vec<String> {
        let AttemptKey { tenure, run, round, attempt } = self.attempt(None);
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
            arrived_ms: None,
        };
        self.apply(self.holder(), command)
    }

    pub(crate) fn fail(&mut self, reason: &str) -> Vec<String> {
        let AttemptKey { tenure, run, round, attempt } = self.attempt(None);
        self.apply(
            self.holder(),
            ControlCommand::RoundFailed { tenure, run, round, attempt, reason: reason.into() },
        )
    }

    pub(crate) fn roll_back(&mut self, version: Version) -> Vec<String> {
        self.apply(1, ControlCommand::RolledBack { run: RunId(1), version })
    }

    pub(crate) fn joins(&mut self, member: u64) -> Vec<String> {
        self.state.members.push(record(member));
        self.say(Input::Applied)
    }

    fn done(&mut self, order: u64, result: WorkResult) -> Vec<String> {
        self.say(Input::WorkDone { order: WorkId(order), result })
    }

    /// An envelope of `from` for an attempt, with its update or a model.
    pub(crate) fn envelope(
        &mut self,
        kind: EnvelopeKind,
        from: u64,
        handle: u64,
        attempt: u64,
        model: Option<&str>,
    ) -> Vec<String> {
        let content = model.map_or(update(from), |model| Digest::of(model.as_bytes()));
        let label = label(self.attempt(Some(attempt)), kind, from, content);
        let wanted = self.would_take(&label);
        let said = self.say(Input::Envelope {
            from: label.sender,
            label,
            for_me: true,
            handle: EnvelopeHandle(handle),
        });
        assert!(wanted || said.contains(&format!("drop e{handle}")), "it was of use: {said:?}");
        said
    }

    fn would_take(&self, label: &Label) -> bool {
        let look = |view: &View<'_>| self.rounds.would_take(view, label.sender, label);
        with_view(&self.state, self.me, true, &self.silent, &BTreeMap::new(), look)
    }

    pub(crate) fn frame(&mut self, from: u64, frame: Frame) -> Vec<String> {
        self.say(Input::Frame { from: MemberId(from), frame })
    }

    /// The aggregator's word on this member's update in the open attempt.
    pub(crate) fn refuse(&mut self) -> Vec<String> {
        let AttemptKey { tenure, run, round, attempt } = self.attempt(None);
        let (digest, verdict) = (self.own_update(), Verdict::Refused(Refusal::NotFinite));
        self.frame(self.holder(), Frame::Verdict { tenure, run, round, attempt, digest, verdict })
    }

    pub(crate) fn progress(&mut self, from: u64, progress: Progress) -> Vec<String> {
        self.frame(from, Frame::Progress { run: RunId(1), round: Round(1), progress })
    }

    pub(crate) fn wait(&mut self, ms: u64) -> Vec<String> {
        self.now = self.now + Duration::from_millis(ms);
        self.say(Input::Tick)
    }

    pub(crate) fn own_update(&self) -> Digest {
        update(self.me.0)
    }

    pub(crate) fn waiting_for(&self) -> String {
        with_view(&self.state, self.me, true, &self.silent, &BTreeMap::new(), |view| {
            self.rounds.waiting_for(view, self.now)
        })
    }

    fn holder(&self) -> u64 {
        self.state.tenure.as_ref().map_or(1, |(_, holder, _)| holder.0)
    }

    /// An attempt of round 1, the open one or another, in the current tenure or the one that comes next.
    fn attempt(&self, number: Option<u64>) -> AttemptKey {
        let tenure = self.state.tenure.as_ref().map_or(Tenure(self.state.index + 1), |(tenure, ..)| *tenure);
        let open = self.state.run.as_ref().and_then(|run| run.open.as_ref());
        let attempt = number.map(Attempt).or(open.map(|open| open.attempt)).unwrap_or(Attempt(1));
        AttemptKey { tenure, run: RunId(1), round: Round(1), attempt }
    }
}

fn record(number: u64) -> MemberRecord {
    MemberRecord {
        id: MemberId(number),
        role: MemberKind::Agent,
        may_lead: true,
        seat: true,
        key: crate::world::rsa_key(number),
    }
}

fn label(key: AttemptKey, kind: EnvelopeKind, sender: u64, content: Digest) -> Label {
    let AttemptKey { tenure, run, round, attempt } = key;
    let version = Version(u64::from(kind != EnvelopeKind::Update));
    let (set, sender) = (rafty_types::SetId::first(ClusterId([9; 16])), MemberId(sender));
    Label { set, tenure, run, round, attempt, version, kind, content, segment: 0, segments: 1, sender }
}

fn line(output: &Output) -> Option<String> {
    Some(match output {
        Output::Propose { id, command } => format!("propose p{}: {}", id.0, story::command(command)),
        Output::Work { id, work } => format!("order w{}: {}", id.0, order(work)),
        Output::Broadcast { envelope } => format!("broadcast e{}", envelope.0),
        Output::SendTo { member, envelope } => format!("send e{} to {member}", envelope.0),
        Output::Frame { to: None, frame } => format!("say to all: {}", said(frame)),
        Output::Frame { to: Some(to), frame } => format!("say to {to}: {}", said(frame)),
        Output::DropEnvelope(handle) => format!("drop e{}", handle.0),
        Output::WithdrawEnvelope(handle) => format!("withdraw e{}", handle.0),
        Output::Event(_) => return None,
    })
}

fn order(work: &Work) -> String {
    match work {
        Work::DeriveInitial { .. } => "derive".into(),
        Work::Train { round, .. } => format!("train round {round}"),
        Work::LookAgain { cause, .. } => format!("look again whether {cause}"),
        Work::StopTraining { order } => format!("stop w{}", order.0),
        Work::SealUpdate { label, to, .. } => {
            format!("seal the update for {to}, {}.{}", label.round, label.attempt)
        }
        Work::OpenUpdate { envelope, .. } => format!("open update e{}", envelope.0),
        Work::Combine { key, .. } => format!("combine {}.{}", key.round, key.attempt),
        Work::SealModel { recipients, .. } => {
            let to: Vec<_> = recipients.iter().map(|(member, _)| member.to_string()).collect();
            format!("seal the model for {}", to.join(","))
        }
        Work::OpenModel { envelope, .. } => format!("open model e{}", envelope.0),
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
fn heads_of_envelopes_tell_which_are_of_use() {
    let mut one = One::new(1, true, None);
    one.tenure(1);
    one.open_round_1(1);
    let now = one.attempt(None);
    let other = |key: AttemptKey, kind| label(key, kind, 2, update(2));
    let wanted = |label: &Label| one.would_take(label);
    assert!(wanted(&other(now, EnvelopeKind::Update)));
    assert!(wanted(&other(AttemptKey { attempt: Attempt(0), ..now }, EnvelopeKind::Update)), "a late one");
    assert!(!wanted(&other(AttemptKey { run: RunId(9), ..now }, EnvelopeKind::Update)), "of no run here");
    assert!(!wanted(&Label { sender: MemberId(9), ..other(now, EnvelopeKind::Update) }), "a stranger's");
    assert!(!wanted(&Label { segments: 2, ..other(now, EnvelopeKind::Update) }), "no whole");
    let elsewhere = rafty_types::SetId::first(ClusterId([1; 16]));
    assert!(!wanted(&Label { set: elsewhere, ..other(now, EnvelopeKind::Update) }), "of another set");
    assert!(!wanted(&other(now, EnvelopeKind::Model)), "not the model of now");
    assert!(!wanted(&other(now, EnvelopeKind::Publication)), "not by the aggregator");
    assert!(!wanted(&other(AttemptKey { round: Round(0), ..now }, EnvelopeKind::Publication)), "of the past");
}

#[test]
fn a_lie_about_a_model_keeps_nobody_elses_from_being_opened() {
    let mut one = One::new(2, false, None);
    one.tenure(1);
    one.open_round_1(1);
    one.accept(1);
    let AttemptKey { tenure, run, round, attempt } = one.attempt(None);
    let publication = Publication {
        tenure,
        run,
        round,
        attempt,
        counted: vec![(MemberId(1), update(1))],
        refused: Vec::new(),
        resting: Vec::new(),
        version: Version(1),
        model: Digest::of(b"later"),
        metrics: Metrics::default(),
        duration_ms: 0,
    };
    one.apply(1, ControlCommand::RoundPublished(publication));
    let mut sends = |from, handle| one.envelope(EnvelopeKind::Publication, from, handle, 1, Some("later"));
    let opens =
        |said: &[String], handle| said.iter().any(|line| line.ends_with(&format!("open model e{handle}")));
    assert!(opens(&sends(3, 5), 5), "whoever is first");
    assert_eq!(sends(1, 6), Vec::<String>::new(), "the aggregator's waits");
    assert_eq!(sends(3, 7), ["drop e7"], "and gives way to nobody");
    let order = one.last_order;
    let said = one.done(order, WorkResult::Refused(Refusal::WrongShape));
    assert!(said.contains(&"drop e5".to_string()) && opens(&said, 6), "{said:?}");
}
