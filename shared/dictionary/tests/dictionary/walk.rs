//! Random histories: steps that are drawn without looking, made into commands that mostly make sense.

use crate::script::*;
use rafty_dictionary::{Applied, EntryCommand};
use rafty_types::ControlCommand as C;
use rafty_types::*;

const PEOPLE: [&str; 5] = ["ann", "bob", "cid", "dan", "eve"];

/// One drawn step: what, who, and two numbers that vary it.
pub(crate) type Step = (u8, u8, u8, u8);

/// A peer set on which drawn steps are taken.
pub(crate) struct Walk {
    pub(crate) story: Script,
    leader: &'static str,
}

impl Walk {
    pub(crate) fn begin() -> Self {
        Self { story: Script::founded_by("ann"), leader: "ann" }
    }

    pub(crate) fn step(&mut self, (what, who, x, y): Step) -> Applied {
        let name = PEOPLE[usize::from(who) % PEOPLE.len()];
        let payload = match what % 32 {
            0 => {
                self.story.term = self.story.term.next();
                self.leader = self.somebody(name);
                Payload::Empty
            }
            1 => Payload::Membership(MembershipChange::default()),
            2 => Payload::Command(vec![x; usize::from(y)].into()),
            3..=5 => self.encode(self.user_proposal(name, x, y)),
            _ => {
                let command = self.command(what % 32, name, x, y);
                // Most come from the leader, some from whoever was drawn, a few from another term.
                let issuer = if x % 8 == 7 { name } else { self.leader };
                let term = Term(self.story.term.0 - u64::from(y % 16 == 15));
                let command = Command::Control(command);
                let by = self.id(issuer);
                let signer = if y % 8 == 7 { "forger" } else { issuer };
                let issue = self.story.issue_signed_by(signer, by, &command);
                self.encode(Proposal { term, issue, ..self.story.proposal(by, command) })
            }
        };
        self.story.now_ms += u64::from(x) * 10_000;
        self.story.append(payload)
    }

    fn encode(&self, proposal: Proposal) -> Payload {
        Payload::Command(proposal.encode().into())
    }

    /// Somebody who is a member: `name`, or Ann, or the first; `name` anyway when no key is known.
    fn somebody(&self, name: &'static str) -> &'static str {
        let is_member = |name: &&str| self.story.state.control().member_by_key(&key_of(name)).is_some();
        [name, "ann"].into_iter().chain(PEOPLE).find(is_member).unwrap_or(name)
    }

    fn id(&self, name: &str) -> MemberId {
        self.story.state.control().member_by_key(&key_of(name)).map_or(MemberId(9_999), |member| member.id)
    }

    /// Up to two members, `name` first.
    fn named(&self, drawn: u8, kinds: u8, name: &str) -> Vec<MemberId> {
        let names = [name, PEOPLE[usize::from(drawn) % PEOPLE.len()]];
        names.iter().take(usize::from(drawn % kinds)).map(|name| self.id(name)).collect()
    }

    fn user_proposal(&self, name: &str, x: u8, y: u8) -> Proposal {
        let key = vec![b'k', x % 4];
        let command = match y % 4 {
            0 => EntryCommand::Delete { key },
            1 => EntryCommand::Set { key: b"cluster".to_vec(), value: vec![y] },
            _ => EntryCommand::Set { key, value: vec![x, y] },
        };
        let session =
            (x.is_multiple_of(2)).then_some((SessionId(u64::from(x / 2)), Serial(u64::from(y % 4))));
        Proposal { session, ..self.story.proposal(self.id(name), Command::User(command.encode())) }
    }

    fn command(&self, what: u8, name: &'static str, x: u8, y: u8) -> ControlCommand {
        let story = &self.story;
        let control = story.state.control();
        let ticket = |n: u8| TokenRecord {
            ttl_ms: u64::from(y) * HOUR_MS / 8,
            may_lead: n != 2,
            ..token(
                ["t0", "t1", "t2"][usize::from(n % 3)],
                [MemberKind::Operator, MemberKind::Agent][usize::from(n % 2)],
                2,
            )
        };
        let run = control.active_run().map_or(RunId(u64::from(x)), |run| run.id);
        let rsa_public = if x.is_multiple_of(8) { vec![x, y] } else { rsa_key(&[x, y]) };
        let member = self.id(name);
        match what {
            6 => C::TokenCreated(ticket(x % 3)),
            7 | 8 => C::Enrol(enrolment(name, &ticket(x % 3), ["t0", "t1", "t2"][usize::from(x % 3)], y)),
            9 => C::Enrol(again(name, member, y)),
            10 => C::Revoke { member },
            11 => C::RotateKey { member, rsa_public },
            12 => {
                let addresses = vec![address(u16::from(y)); usize::from(x % 10)];
                C::AddressChanged { member, addresses }
            }
            13 | 14 => C::SeatChanged {
                give: self.named(x, 3, name),
                take: self.named(y, 2, PEOPLE[usize::from(y) % PEOPLE.len()]),
            },
            15 | 16 => C::TenureBegan { member: self.id(self.leader), rsa_public },
            17 => C::RunSubmitted(run_spec(u32::from(x % 5))),
            18 if x.is_multiple_of(4) => C::RunStopped { run },
            18 if x.is_multiple_of(3) => C::SettingChanged {
                name: SETTINGS[usize::from(y) % SETTINGS.len()].name.into(),
                value: SettingValue::Number(u64::from(x)),
            },
            19 => C::RolledBack { run, version: Version(u64::from(x % 4)) },
            20 if x.is_multiple_of(4) => C::ClientCreated(client(name)),
            20 if x.is_multiple_of(3) => C::ClientRevoked { name: name.into() },
            20 => C::SessionOpened,
            21 if y.is_multiple_of(2) => C::ReachabilityChanged { member, silent: x.is_multiple_of(2) },
            21 => C::SessionClosed { session: SessionId(u64::from(x)) },
            _ => self.round_command(what, run, member, x, y),
        }
    }

    fn round_command(&self, what: u8, run: RunId, member: MemberId, x: u8, y: u8) -> ControlCommand {
        let control = self.story.state.control();
        let tenure = self.story.tenure();
        let state = control.active_run();
        let off = u64::from(y % 16 == 14);
        let Some(open) = state.and_then(|run| run.open.as_ref()) else {
            let (round, base) = state.map_or((Round(1), Version(0)), |run| (run.round.next(), run.version));
            let round = Round(round.0.saturating_add(off));
            return C::RoundOpened { tenure, run, round, base, protection: Protection::None };
        };
        let (round, attempt) = (open.round, Attempt(open.attempt.0.saturating_add(off)));
        match what {
            22..=25 => C::UpdateAccepted {
                tenure,
                run,
                round,
                attempt,
                participant: member,
                digest: Digest([y; 32]),
                num_examples: u64::from(x),
                collected_ms: u64::from(y),
                arrived_ms: x.is_multiple_of(2).then_some(u64::from(y) / 2),
            },
            26 if x.is_multiple_of(4) => {
                C::RoundFailed { tenure, run, round, attempt, reason: "drawn".into() }
            }
            _ => {
                let counted = open.accepted.iter().map(|(who, update)| (*who, update.digest));
                C::RoundPublished(Publication {
                    tenure,
                    run,
                    round,
                    attempt,
                    counted: counted.chain((x % 8 == 6).then_some((member, Digest([x; 32])))).collect(),
                    refused: vec![(member, Refusal::NotFinite)],
                    resting: vec![(member, RestCause::Memory)],
                    version: open.base.next(),
                    model: Digest([x; 32]),
                    metrics: Metrics::default(),
                    duration_ms: u64::from(x),
                })
            }
        }
    }
}

/// Numbers that look drawn and are always the same ones (a linear congruence, its high bytes).
fn drawn_steps(mut seed: u64, count: usize) -> impl Iterator<Item = Step> {
    (0..count).map(move |_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [.., a, b, c, d] = seed.to_be_bytes().map(|byte| byte ^ (seed >> 60) as u8);
        let [e, f, ..] = (seed >> 8).to_be_bytes();
        (a ^ e, b ^ f, c, d)
    })
}

/// Guards the properties: walks that met only refusals would prove nothing.
#[test]
fn random_walks_meet_every_event_and_most_refusals() {
    let (mut events, mut refusals) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
    for seed in 0..12 {
        let mut walk = Walk::begin();
        for step in drawn_steps(seed, 700) {
            let applied = walk.step(step);
            for event in &applied.events {
                *events
                    .entry(format!("{event:?}").split(['(', ' ']).next().unwrap().to_string())
                    .or_insert(0) += 1;
            }
            if let Some(why) = why(&applied) {
                *refusals.entry(format!("{why:?}").split('(').next().unwrap().to_string()).or_insert(0) += 1;
            }
        }
    }
    // All but `Halted`, after which nothing more would be met.
    assert_eq!(events.len(), 13, "{events:?} {refusals:?}");
    assert!(events["RoundPublished"] > 20, "{events:?}");
    assert!(refusals.len() >= 14, "{refusals:?}");
}
