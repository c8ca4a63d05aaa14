//! A toy of one member's workers: nothing is trained and nothing sealed, but every rule on what must be where holds.

use crate::world::FALSE_BODY;
use rafty_node::TenureKey;
use rafty_rounds::{AttemptKey, EnvelopeHandle, PendingUpdate, Work, WorkResult};
use rafty_types::{
    Digest, EnvelopeHeader, Label, MAX_EXAMPLES, MemberId, Metrics, Recipient, Refusal, Round, RunId,
    is_rsa_public, is_weight, rsa_public_der,
};
use std::collections::{BTreeMap, BTreeSet};

/// What of a member's models and updates survives the process.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    /// Oldest first.
    pub models: Vec<Digest>,
    /// The update whose round may still be open.
    pub pending: Option<PendingUpdate>,
    /// The model in use.
    pub current: Option<Digest>,
}

/// What the workers of one process hold in memory.
#[derive(Debug, Default)]
pub struct Worker {
    spool: BTreeMap<EnvelopeHandle, EnvelopeHeader>,
    last_handle: u64,
    accumulators: BTreeMap<AttemptKey, BTreeMap<MemberId, Digest>>,
    /// Tenure keys whose private half is here.
    keys: BTreeSet<Digest>,
    /// The one that was made and not used yet.
    ahead: Option<Digest>,
    keys_made: u64,
}

/// The sound update that `member` makes from `base`.
pub fn update_of(member: MemberId, base: Digest) -> Digest {
    Digest::of(format!("update of {member} from {base}").as_bytes())
}

/// What is wrong with an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Its weights, in which way.
    Weights(Refusal),
    /// It is said to stand for so many examples.
    Examples(u64),
}

/// The flaws that lies have here.
pub const FLAWS: [Flaw; 5] = [
    Flaw::Weights(Refusal::NotFinite),
    Flaw::Weights(Refusal::WrongShape),
    Flaw::Examples(0),
    Flaw::Examples(MAX_EXAMPLES + 1),
    Flaw::Examples(u64::MAX),
];

/// An update that must be refused.
fn lie_of(member: MemberId, base: Digest, flaw: Flaw) -> Digest {
    Digest::of(format!("update of {member} from {base}, {flaw:?}").as_bytes())
}

/// For how many examples an update is said to stand, or why it is refused.
fn examples_in(label: &Label, base: Digest) -> Result<u64, Refusal> {
    let sender = label.sender;
    if label.content == update_of(sender, base) {
        return Ok(examples_of(sender));
    }
    match FLAWS.into_iter().find(|flaw| label.content == lie_of(sender, base, *flaw)) {
        Some(Flaw::Examples(examples)) if is_weight(examples) => Ok(examples),
        Some(Flaw::Examples(_)) => Err(Refusal::BadWeight),
        Some(Flaw::Weights(why)) => Err(why),
        None => Err(Refusal::WrongBase),
    }
}

/// The model that is combined from these updates.
pub fn model_of<'a>(updates: impl Iterator<Item = (&'a MemberId, &'a Digest)>) -> Digest {
    let all: Vec<_> = updates.map(|(member, digest)| format!("{member}:{digest}")).collect();
    Digest::of(all.join(",").as_bytes())
}

/// Some have as many as there may be.
fn examples_of(member: MemberId) -> u64 {
    if member.0.is_multiple_of(5) { MAX_EXAMPLES } else { 100 + member.0 }
}

impl Worker {
    /// Takes in an envelope's bytes.
    pub fn name(&mut self, envelope: EnvelopeHeader) -> EnvelopeHandle {
        self.last_handle += 1;
        self.spool.insert(EnvelopeHandle(self.last_handle), envelope);
        EnvelopeHandle(self.last_handle)
    }

    /// The envelope of this name.
    pub fn envelope(&self, handle: EnvelopeHandle) -> EnvelopeHeader {
        self.spool.get(&handle).expect("an envelope is used before it is dropped").clone()
    }

    /// Nobody needs an envelope any more.
    pub fn drop_envelope(&mut self, handle: EnvelopeHandle) {
        assert!(self.spool.remove(&handle).is_some(), "{handle:?} was dropped twice");
    }

    /// Updates that were folded in, by attempt.
    pub fn accumulators(&self) -> usize {
        self.accumulators.len()
    }

    /// Private halves of tenure keys.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Envelopes that are kept.
    pub fn spooled(&self) -> usize {
        self.spool.len()
    }

    /// Makes a tenure key.
    pub fn make_key(&mut self, me: MemberId, seed: u64) -> TenureKey {
        self.keys_made += 1;
        let body = Digest::of(format!("key {} of {me} {seed}", self.keys_made).as_bytes());
        let mut modulus = [0xff; 256];
        modulus[1..33].copy_from_slice(&body.0);
        let rsa_public = rsa_public_der(&modulus);
        self.ahead = Some(Digest::of(&rsa_public));
        self.keys.extend(self.ahead);
        TenureKey { rsa_public }
    }

    /// Forgets the private half of every key but this one and the one made ahead.
    pub fn forget_keys(&mut self, except: Option<Digest>) {
        self.ahead.take_if(|ahead| Some(*ahead) == except);
        let ahead = self.ahead;
        self.keys.retain(|key| Some(*key) == except || Some(*key) == ahead);
    }

    /// Carries out an order. What is trained has this flaw.
    pub fn perform(&mut self, me: MemberId, shelf: &mut Shelf, flaw: Option<Flaw>, work: Work) -> WorkResult {
        match work {
            Work::DeriveInitial { spec, .. } => {
                store(shelf, Digest::of(format!("initial {} {}", spec.task, spec.seed).as_bytes()))
            }
            Work::Train { run, round, base, .. } => train(me, shelf, flaw, run, round, base),
            Work::StopTraining { .. } | Work::LookAgain { .. } => WorkResult::Done,
            Work::SealUpdate { update, label, to, rsa_public } => {
                let known = shelf.pending.is_some_and(|pending| pending.update == update);
                if !known || label.content != update {
                    return WorkResult::Gone;
                }
                self.seal(label, vec![(to, rsa_public)])
            }
            Work::OpenUpdate { envelope, label, base } => self.open_update(me, shelf, envelope, &label, base),
            Work::Combine { key, .. } => match self.accumulators.get(&key) {
                Some(updates) => store(shelf, model_of(updates.iter())),
                None => WorkResult::Failed("there is no such accumulator".into()),
            },
            Work::SealModel { model, label, recipients } => {
                if !shelf.models.contains(&model) || label.content != model {
                    return WorkResult::Failed("the model is not on the disk".into());
                }
                self.seal(label, recipients)
            }
            Work::OpenModel { envelope, label, .. } => {
                let sealed = self.envelope(envelope);
                if sealed.label != label || !sealed.is_for(me) {
                    return WorkResult::Refused(Refusal::NotAuthentic);
                }
                if sealed.nonce == FALSE_BODY {
                    return WorkResult::Refused(Refusal::Malformed);
                }
                store(shelf, label.content)
            }
            Work::Adopt { model, .. } => {
                if !shelf.models.contains(&model) {
                    return WorkResult::Failed("the model is not on the disk".into());
                }
                shelf.current = Some(model);
                WorkResult::Done
            }
            Work::DropModels { models } => {
                shelf.models.retain(|model| !models.contains(model));
                WorkResult::Done
            }
            Work::DropUpdate { update } => {
                shelf.pending.take_if(|pending| pending.update == update);
                WorkResult::Done
            }
            Work::ForgetAttempt { key } => {
                self.accumulators.remove(&key);
                WorkResult::Done
            }
        }
    }

    fn seal(&mut self, label: Label, recipients: Vec<(MemberId, Vec<u8>)>) -> WorkResult {
        if !recipients.iter().all(|(_, key)| is_rsa_public(key)) {
            return WorkResult::Failed("this is not an RSA key".into());
        }
        let recipient = |(member, key): (MemberId, Vec<u8>)| Recipient {
            member,
            key_id: Digest::of(&key),
            wrapped_key: Vec::new(),
        };
        let envelope = self.name(sealed(label, recipients.into_iter().map(recipient).collect()));
        WorkResult::Sealed { envelope }
    }

    fn open_update(
        &mut self,
        me: MemberId,
        shelf: &Shelf,
        handle: EnvelopeHandle,
        label: &Label,
        base: Digest,
    ) -> WorkResult {
        let sealed = self.envelope(handle);
        let opens = |to: &Recipient| to.member == me && self.keys.contains(&to.key_id);
        if sealed.label != *label || !sealed.recipients.iter().any(opens) {
            return WorkResult::Refused(Refusal::NotAuthentic);
        }
        if !shelf.models.contains(&base) {
            return WorkResult::Failed("the base is not on the disk".into());
        }
        let num_examples = match examples_in(label, base) {
            Ok(num_examples) => num_examples,
            Err(why) => return WorkResult::Refused(why),
        };
        let folded = self.accumulators.entry(AttemptKey::of(label)).or_default();
        let before = folded.insert(label.sender, label.content);
        assert_eq!(
            before, None,
            "no update counts twice: one of member {} was folded in twice",
            label.sender
        );
        let metrics = Metrics { examples: 10, correct: 9, loss_micros: 300_000, train_loss_micros: 200_000 };
        WorkResult::Opened { num_examples, metrics }
    }
}

/// An envelope with this label for these members. There is nothing in it.
pub fn sealed(label: Label, recipients: Vec<Recipient>) -> EnvelopeHeader {
    EnvelopeHeader {
        label,
        sender_key: Default::default(),
        content_key_hash: Digest::default(),
        nonce: [0; 7],
        ciphertext_len: 0,
        ciphertext_digest: Digest::default(),
        recipients,
    }
}

fn store(shelf: &mut Shelf, digest: Digest) -> WorkResult {
    shelf.models.retain(|model| *model != digest);
    shelf.models.push(digest);
    WorkResult::Model { digest }
}

fn train(
    me: MemberId,
    shelf: &mut Shelf,
    flaw: Option<Flaw>,
    run: RunId,
    round: Round,
    base: Digest,
) -> WorkResult {
    if !shelf.models.contains(&base) {
        return WorkResult::Failed("the base is not on the disk".into());
    }
    let update = flaw.map_or_else(|| update_of(me, base), |flaw| lie_of(me, base, flaw));
    let num_examples = examples_of(me);
    shelf.pending = Some(PendingUpdate { run, round, update, base, num_examples });
    WorkResult::Trained { update, num_examples }
}
