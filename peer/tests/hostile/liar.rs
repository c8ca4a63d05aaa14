//! A member that was let in by an agent's token and from then on says whatever it likes, by the transport that all use.

use crate::support::json;
use crate::support::peer_set::PeerSet;
use crate::support::{WITHIN, rafty, until};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use rafty_runtime::MemberFile;
use rafty_runtime::net::{Net, NetConfig, NetEvent, NetEvents, RosterPeer, Spool};
use rafty_seal::{Identity, RsaPublic, Token, seal};
use rafty_types::{
    Attempt, ControlCommand, Digest, EnvelopeKind, Frame, Index, Label, Member, MemberId, MemberKind, Round,
    RunId, Tenure, Version,
};
use smol::channel::{Sender, bounded};
use smol::{Executor, Timer, future};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After so long a question is asked again.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// Its own process has ended; what it says it says by the test's.
pub(crate) struct Liar {
    pub(crate) me: MemberId,
    pub(crate) file: MemberFile,
    pub(crate) identity: Identity,
    /// Nobody else made it.
    pub(crate) token: Token,
    pub(crate) net: Net,
    events: NetEvents,
    /// While it is there, the network runs.
    _running: Sender<()>,
}

/// It takes no envelopes.
struct NoSpool;

impl Spool for NoSpool {
    fn wants(&self, _from: MemberId, _header: &[u8], _len: u64) -> bool {
        false
    }

    fn create(&self, _len: u64) -> io::Result<(u64, File)> {
        Err(io::Error::other("it takes none"))
    }

    fn discard(&self, _handle: u64) {}
}

impl Liar {
    /// Joins as a device does, and connects to everybody.
    pub(crate) fn joins(set: &PeerSet, dir: &str) -> Self {
        let (token, peer) = set.token_for("agent", "1h");
        json(&rafty(), &["join", &token, "--peer", &peer, "--listen", "127.0.0.1:0", "--dir", dir]);
        Self::speaks_as(dir, set.running().map(|member| member.id().expect("it runs")).collect())
    }

    /// Connects to these as the member in this directory, which does not run.
    pub(crate) fn speaks_as(dir: &str, mut awaited: Vec<MemberId>) -> Self {
        let dir = Path::new(dir);
        let file = MemberFile::read(dir).expect("a member");
        let secret = std::fs::read(dir.join("identity")).expect("its identity");
        let identity = Identity::from_secret_bytes(secret.as_slice().try_into().expect("32 bytes"));
        let config = NetConfig {
            listen: file.listen,
            set: file.set(),
            key: identity.key(),
            pkcs8: identity.to_pkcs8_der(),
        };
        let executor = Arc::new(Executor::new());
        let (net, events) = Net::bind(&executor, &config, Arc::new(NoSpool)).expect("a socket");
        let (running, ended) = bounded::<()>(1);
        std::thread::spawn(move || {
            // Nothing is ever sent: it ends when the liar goes.
            let _ = smol::block_on(executor.run(ended.recv()));
        });
        let founder = file.members[0].key;
        let token = Token::generate(file.cluster, &founder, &mut ChaCha20Rng::seed_from_u64(2));
        let liar = Self { me: file.member, file, identity, token, net, events, _running: running };
        liar.knows(&liar.file.members);
        liar.hears("a way to all of them", |event| {
            awaited.retain(|other| !matches!(event, NetEvent::Connected(id) if id == *other));
            awaited.is_empty().then_some(())
        });
        liar
    }

    /// Connects to these.
    pub(crate) fn knows(&self, members: &[Member]) {
        let known = members.iter().map(|member| RosterPeer {
            id: member.id,
            key: member.key,
            addresses: member.addresses.clone(),
        });
        self.net.set_roster(self.me, &known.collect::<Vec<_>>());
    }

    /// Everybody else, as of when it joined.
    pub(crate) fn others(&self) -> Vec<MemberId> {
        self.file.members.iter().map(|member| member.id).filter(|id| *id != self.me).collect()
    }

    /// What would admit laptops by its token.
    pub(crate) fn forged_token(&self) -> ControlCommand {
        ControlCommand::TokenCreated(self.token.record(MemberKind::Operator, true, 3_600_000, 9))
    }

    /// A sealed update for `to` in a run that there is not: its head and its body.
    pub(crate) fn update_for(&self, to: MemberId, plaintext: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let recipient = self.file.members.iter().find(|member| member.id == to).expect("a member");
        let label = Label {
            set: self.file.set(),
            tenure: Tenure(1),
            run: RunId(1),
            round: Round(1),
            attempt: Attempt(1),
            version: Version(0),
            kind: EnvelopeKind::Update,
            content: Digest::of(plaintext),
            segment: 0,
            segments: 1,
            sender: self.me,
        };
        self.sealed(label, (to, &recipient.rsa_public), plaintext)
    }

    /// An envelope for a member with this key: its head and its body.
    pub(crate) fn sealed(
        &self,
        label: Label,
        (to, rsa_public): (MemberId, &[u8]),
        plaintext: &[u8],
    ) -> (Vec<u8>, Vec<u8>) {
        let key = RsaPublic::from_der(rsa_public).expect("a key");
        let (mut rng, mut body) = (ChaCha20Rng::seed_from_u64(1), Vec::new());
        let head = seal(label, &[(to, key)], &self.identity, &mut &*plaintext, &mut body, &mut rng);
        (head.expect("an envelope").encode(), body)
    }

    /// Waits for an event, and drops all before it.
    pub(crate) fn hears<T>(&self, what: &str, wanted: impl FnMut(NetEvent) -> Option<T>) -> T {
        self.hears_within(WITHIN, wanted).unwrap_or_else(|| panic!("no {what} within {WITHIN:?}"))
    }

    fn hears_within<T>(&self, time: Duration, mut wanted: impl FnMut(NetEvent) -> Option<T>) -> Option<T> {
        let end = Instant::now() + time;
        let late = async {
            Timer::at(end).await;
            None
        };
        let heard = async {
            loop {
                let event = self.events.recv().await.expect("the network runs");
                if let Some(heard) = wanted(event) {
                    return Some(heard);
                }
            }
        };
        smol::block_on(future::or(heard, late))
    }

    /// Says all of these to a member, and waits until that one has heard them.
    pub(crate) fn tells(&self, to: MemberId, lies: &[Frame]) {
        lies.iter().for_each(|lie| self.net.send(to, lie));
        // Answered in its turn: frames of one sender stay in order. Who has not noticed yet that the process before it is
        // gone answers to that one.
        until("an answer to an honest question", || {
            self.net.send(to, &Frame::AskRoster { known: Index(0) });
            self.hears_within(ANSWERED_WITHIN, |event| match event {
                NetEvent::Frame { from, frame: Frame::Roster { .. } } if from == to => Some(()),
                _ => None,
            })
        });
    }
}
