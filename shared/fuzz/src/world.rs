//! Members with fixed keys, and one envelope between two of them.
//!
//! Nothing else must use these keys. The RSA key has the smallest size that is accepted, which opens three times as many
//! envelopes a second as the size that is made.

use chacha20::{ChaCha20Rng, rand_core::SeedableRng};
use rafty_dictionary::{Entries, Replicated, is_issued};
use rafty_seal::{Identity, RsaKey, SignedHeader, seal};
use rafty_types::{
    Attempt, ClusterId, Command, Digest, EnvelopeKind, Genesis, Issue, IssueSerial, Label, Member, MemberId, MemberKind,
    Round, RunId, Settings, Signature, Tenure, Version,
};
use std::sync::OnceLock;

pub(crate) const AGGREGATOR: MemberId = MemberId(1);
pub(crate) const PARTICIPANT: MemberId = MemberId(2);
pub(crate) const CLUSTER: ClusterId = ClusterId([9; 16]);
const CONTENT: &[u8] = b"the quick brown fox";

pub(crate) fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

pub(crate) fn identity(member: MemberId) -> Identity {
    Identity::from_secret_bytes(&[member.0.to_le_bytes()[0]; 32])
}

pub(crate) fn aggregator_key() -> &'static RsaKey {
    static KEY: OnceLock<RsaKey> = OnceLock::new();
    KEY.get_or_init(|| RsaKey::from_der(include_bytes!("../keys/aggregator.der")).expect("a fixed test key"))
}

/// What a member says when it issues `command` now, where that takes it.
pub(crate) fn issued(state: &Replicated<Entries>, by: MemberId, command: &Command) -> Option<Issue> {
    let Command::Control(command) = command else { return None };
    let serial = IssueSerial { incarnation: 1, count: state.applied().0 };
    let (seen, seen_ms) = (state.applied(), state.elapsed_ms());
    let issue = Issue { by, serial, seen, seen_ms, signature: Signature::default() };
    is_issued(command).then(|| issue.signed(&identity(by), state.control().set(), command))
}

/// An update of the participant to the aggregator.
pub(crate) fn label() -> Label {
    Label {
        set: rafty_types::SetId::first(CLUSTER),
        tenure: Tenure(40),
        run: RunId(12),
        round: Round(3),
        attempt: Attempt(1),
        version: Version(2),
        kind: EnvelopeKind::Update,
        content: Digest::of(CONTENT),
        segment: 0,
        segments: 1,
        sender: PARTICIPANT,
    }
}

/// An envelope with what is in it.
pub(crate) struct Sealed {
    pub(crate) signed: SignedHeader,
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) content: &'static [u8],
}

pub(crate) fn participant_update() -> &'static Sealed {
    static SEALED: OnceLock<Sealed> = OnceLock::new();
    SEALED.get_or_init(|| {
        let recipients = [(AGGREGATOR, aggregator_key().public().clone())];
        let (mut plaintext, mut ciphertext) = (CONTENT, Vec::new());
        let sender = identity(PARTICIPANT);
        let signed = seal(label(), &recipients, &sender, &mut plaintext, &mut ciphertext, &mut rng(7))
            .expect("a sound envelope");
        Sealed { signed, ciphertext, content: CONTENT }
    })
}

/// A key of its own for each number; nobody has the other half.
pub(crate) fn rsa_key(number: u64) -> Vec<u8> {
    let mut modulus = [0xff; 256];
    modulus[1..9].copy_from_slice(&number.to_be_bytes());
    rafty_types::rsa_public_der(&modulus)
}

/// A peer set of its founder alone, as of index 1.
pub(crate) fn founded() -> Replicated<Entries> {
    static STATE: OnceLock<Replicated<Entries>> = OnceLock::new();
    let found = || {
        let founder = Member {
            id: AGGREGATOR,
            key: identity(AGGREGATOR).key(),
            rsa_public: rsa_key(1),
            role: MemberKind::Operator,
            may_lead: true,
            addresses: vec![([192, 168, 1, 7], 7_000).into()],
            seat: true,
            tenures: 0,
        };
        let settings = Settings { max_members: 6, ..Settings::default() };
        let genesis = Genesis { cluster: CLUSTER, name: "garden".into(), settings, founder };
        Replicated::found(genesis, Entries::default()).expect("a sound genesis")
    };
    STATE.get_or_init(found).clone()
}
