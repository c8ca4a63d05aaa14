//! A member that lies: it says in others' names what these never said, repeats what they once did, and goes on with sessions
//! of others.
//!
//! It is let in and has its own keys, as any member. While it leads, whatever it proposes is of whomever it says.

use super::World;
use super::clients::SHARED_TOKEN;
use crate::faults::Who;
use crate::rng::SimRng;
use crate::tally::Evil;
use rafty_dictionary::{EntryCommand, MAX_SESSIONS};
use rafty_node::Input;
use rafty_types::{
    Command, ControlCommand, Enrolment, Frame, Issue, IssueSerial, MemberId, MemberKind, Payload, PeerKey,
    Proposal, RunSpec, SettingValue, Signature, Strategy, TokenRecord, rsa_public_der,
};
use std::net::{Ipv4Addr, SocketAddr};

/// Whatever was forged has this name, or this number in its place.
pub const FORGED: &str = "forged";
/// A token that nobody made.
pub const FORGED_TOKEN: [u8; 16] = [0xee; 16];
/// Where nobody is.
pub const FORGED_PLACE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 66, 6, 6)), 666);
/// A feature level that nobody asked for.
const FORGED_LEVEL: u32 = 9;
/// One lie in so many is a flood.
const FLOOD_CHANCE: u64 = 200;
/// The chance in a hundred that a member that comes back asks a liar.
const KEPT_CHANCE: u64 = 40;
const MAX_KEPT: usize = 4;
/// No request of a member has this number.
const NO_REQUEST: u64 = u64::MAX;

impl World {
    /// A member lies once: to itself when it leads, or else to its leader.
    pub(super) fn lies(&mut self, who: Who, seed: u64) {
        let Some(liar) = self.who(who) else { return };
        let mut rng = SimRng::new(seed, 0);
        if rng.percent(40) {
            return self.speaks_falsely(liar, &mut rng);
        }
        if rng.percent(20) {
            return self.seals_falsely(liar, &mut rng);
        }
        let Some(leader) = self.node(liar).consensus().leader() else { return };
        let Some(victim) = self.victim(liar, &mut rng) else { return };
        if rng.percent(10) {
            return self.wants_no_key(liar, &mut rng);
        }
        if rng.below(FLOOD_CHANCE) == 0 {
            return self.floods(liar, leader);
        }
        let frame = match rng.below(8) {
            7 => Some(unsigned(ControlCommand::ReachabilityChanged { member: victim, silent: true })),
            6 => self.kept_returns.pop().map(|kept| unsigned(ControlCommand::Enrol(kept))),
            0 => self.repeated(liar, &mut rng),
            1 => self.signed_by_another(liar, victim, &mut rng),
            2 | 3 => self.in_anothers_session(&mut rng),
            _ => Some(unsigned(forged(victim, leader, &mut rng))),
        };
        let Some(frame) = frame else { return };
        self.tally.evil(Evil::Forged);
        self.trace.note(self.now, || format!("{liar} lies about {victim}: {frame:?}"));
        if leader == liar {
            return self.say(liar, Input::Frame { from: victim, frame });
        }
        if self.is_heard_by(liar, leader) {
            self.hears_a_lie(leader, liar, frame);
        }
    }

    pub(super) fn is_heard_by(&mut self, liar: MemberId, other: MemberId) -> bool {
        self.way(liar, other) == Some(other)
    }

    /// Whether whoever is asked to take a member back is a liar, which does not pass it on and keeps it for later.
    pub(super) fn keeps_to_itself(&mut self, enrolment: &Enrolment) -> bool {
        let lied = self.tally.count(Evil::Forged) > 0 && !self.healed;
        let keeps = lied && self.kept_returns.len() < MAX_KEPT && self.rng.percent(KEPT_CHANCE);
        if keeps {
            self.tally.evil(Evil::KeptReturn);
            self.kept_returns.push(enrolment.clone());
        }
        keeps
    }

    /// More sessions than there is room for.
    fn floods(&mut self, liar: MemberId, leader: MemberId) {
        if !self.is_heard_by(liar, leader) {
            return;
        }
        self.tally.evil(Evil::SessionFlood);
        self.trace.note(self.now, || format!("{liar} opens more sessions than there is room for"));
        for _ in 0..=MAX_SESSIONS {
            let frame = unsigned(ControlCommand::SessionOpened);
            self.say(leader, Input::Frame { from: liar, frame });
        }
    }

    /// Goes on with somebody's session, or ends it: as itself, or with a token that more than one use.
    fn in_anothers_session(&mut self, rng: &mut SimRng) -> Option<Frame> {
        let (id, last) = self.a_session(rng)?;
        let writes = EntryCommand::Set { key: FORGED.into(), value: vec![1] };
        let (session, command) = match rng.percent(30) {
            true => (None, Command::Control(ControlCommand::SessionClosed { session: id })),
            false => (Some((id, last.next())), Command::User(writes.encode())),
        };
        let (request, command) = (NO_REQUEST, Box::new(command));
        Some(match rng.percent(50) {
            true => Frame::Forward { request, session, command },
            false => Frame::ForwardForClient { request, client: SHARED_TOKEN, session, command },
        })
    }

    fn hears_a_lie(&mut self, leader: MemberId, liar: MemberId, frame: Frame) {
        let transfers = |world: &mut Self| {
            let process = world.process(leader)?;
            let consensus = process.node.consensus();
            Some(consensus.is_transferring() && process.handed_over != Some(consensus.term()))
        };
        let permitted = !is_unsigned(&frame);
        let before = transfers(self);
        self.say(leader, Input::Frame { from: liar, frame });
        let moved = before == Some(false) && transfers(self) == Some(true);
        assert!(
            permitted || !moved,
            "forbidden requests move no leader: {leader} hands over, as {liar} asked"
        );
    }

    /// It asks for a key of its own that is none.
    fn wants_no_key(&mut self, liar: MemberId, rng: &mut SimRng) {
        let even = rsa_public_der(&[0xfe; 256]);
        let short = rsa_public_der(&[0xff; 255]);
        let nones = [vec![0x30; 300], [rsa_public_der(&[0xff; 384]), vec![0]].concat(), even, short];
        let rsa_public = nones[rng.below(nones.len() as u64) as usize].clone();
        self.tally.evil(Evil::NoKey);
        self.control(liar, ControlCommand::RotateKey { member: liar, rsa_public });
    }

    /// An operator, if there is another one, in whose name it speaks.
    fn victim(&mut self, liar: MemberId, rng: &mut SimRng) -> Option<MemberId> {
        let control = self.node(liar).state().control();
        let others = control.members().values().filter(|member| member.id != liar);
        let operators: Vec<_> =
            others.filter(|member| member.role == MemberKind::Operator).map(|member| member.id).collect();
        rng.pick(&operators)
    }

    /// Something that a member issued, from the liar's own log.
    fn repeated(&mut self, liar: MemberId, rng: &mut SimRng) -> Option<Frame> {
        let issued = |payload: &Payload| match payload {
            Payload::Command(bytes) => match Proposal::decode(bytes, 1)? {
                Proposal { issue: Some(issue), command: Command::Control(command), .. } => {
                    Some((issue, command))
                }
                _ => None,
            },
            _ => None,
        };
        let log = &self.members[&liar].disk.entries;
        let all: Vec<_> = log.iter().filter_map(|entry| issued(&entry.payload)).collect();
        let at = rng.below(all.len().max(1) as u64) as usize;
        let (issue, command) = all.into_iter().nth(at)?;
        Some(issued_frame(issue, command))
    }

    /// Something in another's name with the liar's own signature.
    fn signed_by_another(&mut self, liar: MemberId, by: MemberId, rng: &mut SimRng) -> Option<Frame> {
        let command = forged(by, liar, rng);
        let state = self.node(liar).state();
        let serial = IssueSerial { incarnation: rng.below(100), count: rng.roll() };
        let (seen, seen_ms, set) = (state.applied(), state.elapsed_ms(), state.control().set());
        let issue = Issue { by, serial, seen, seen_ms, signature: Signature::default() };
        Some(issued_frame(issue.signed(&self.members[&liar].identity, set, &command), command))
    }
}

/// What an operator could have asked for.
fn forged(victim: MemberId, leader: MemberId, rng: &mut SimRng) -> ControlCommand {
    match rng.below(8) {
        0 => ControlCommand::FeatureLevel { level: FORGED_LEVEL, without: vec![victim, leader] },
        1 => ControlCommand::AddressChanged { member: victim, addresses: vec![FORGED_PLACE] },
        2 => ControlCommand::RunSubmitted(RunSpec {
            name: FORGED.into(),
            task: "a task".into(),
            rounds: 1,
            seed: 7,
            strategy: Strategy::FedAvg,
        }),
        3 => ControlCommand::SettingChanged {
            name: "first-deadline".into(),
            value: SettingValue::Number(u64::from(FORGED_LEVEL)),
        },
        4 => ControlCommand::Revoke { member: leader },
        5 => ControlCommand::Supports { member: victim, level: FORGED_LEVEL },
        _ => ControlCommand::TokenCreated(TokenRecord {
            id: FORGED_TOKEN,
            public_key: PeerKey([7; 32]),
            role: MemberKind::Operator,
            may_lead: true,
            ttl_ms: super::LONG_MS,
            uses: 9,
        }),
    }
}

fn unsigned(command: ControlCommand) -> Frame {
    let command = Box::new(Command::Control(command));
    Frame::Forward { request: NO_REQUEST, session: None, command }
}

fn issued_frame(issue: Issue, command: ControlCommand) -> Frame {
    let (issue, command) = (Box::new(issue), Box::new(command));
    Frame::ForwardIssued { request: NO_REQUEST, session: None, issue, command }
}

fn is_unsigned(frame: &Frame) -> bool {
    matches!(frame, Frame::Forward { .. })
}
