//! A toy of one member's shell: what is on its disk, its spool, its accumulators, and workers that do nothing heavy.

use rafty_rounds::{AttemptKey, EnvelopeHandle, PendingUpdate, Work, WorkId, WorkResult};
use rafty_types::{Digest, Label, MAX_EXAMPLES, MemberId, Metrics, Refusal, is_rsa_public};
use std::collections::{BTreeMap, BTreeSet};

/// Sealed bytes: the plaintext's digest is in the label.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) label: Label,
    pub(crate) recipients: Vec<MemberId>,
}

/// What survives the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) models: BTreeSet<Digest>,
    pub(crate) pending: Option<PendingUpdate>,
    pub(crate) current: Option<Digest>,
}

/// What a member's data is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Examples(u64),
    None,
    /// Training gives weights that are not numbers.
    Poisoned,
    /// Training counts more examples than an update may stand for.
    TooMany,
}

#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) me: MemberId,
    pub(crate) data: Data,
    pub(crate) disk: Disk,
    pub(crate) spool: BTreeMap<EnvelopeHandle, Envelope>,
    pub(crate) accumulators: BTreeMap<AttemptKey, BTreeMap<MemberId, Digest>>,
    /// The order that its worker trains for.
    pub(crate) training: Option<WorkId>,
    next_handle: u64,
}

/// What the first byte of an update's digest says of it.
pub(crate) fn mark(data: Data) -> u8 {
    match data {
        Data::Poisoned => 1,
        Data::TooMany => 2,
        _ => 0,
    }
}

/// Digest of the update that `member` makes from `base`; bad ones are marked by their first byte.
pub(crate) fn update_of(member: MemberId, base: Digest, data: Data) -> Digest {
    let mut digest = Digest::of(format!("update of {member} from {base}").as_bytes());
    digest.0[0] = mark(data);
    digest
}

/// Digest of the model that is combined from these updates.
pub(crate) fn model_of<'a>(updates: impl Iterator<Item = (&'a MemberId, &'a Digest)>) -> Digest {
    let all: Vec<_> = updates.map(|(member, digest)| format!("{member}:{digest}")).collect();
    Digest::of(all.join(",").as_bytes())
}

impl Shell {
    pub(crate) fn new(me: MemberId, data: Data) -> Self {
        Self {
            me,
            data,
            disk: Disk::default(),
            spool: BTreeMap::new(),
            accumulators: BTreeMap::new(),
            training: None,
            next_handle: 0,
        }
    }

    /// The process ends: only the disk is left. Names start anew.
    pub(crate) fn lose_memory(&mut self) {
        self.spool.clear();
        self.accumulators.clear();
        self.training = None;
        self.next_handle = 0;
    }

    pub(crate) fn spool(&mut self, envelope: Envelope) -> EnvelopeHandle {
        self.next_handle += 1;
        self.spool.insert(EnvelopeHandle(self.next_handle), envelope);
        EnvelopeHandle(self.next_handle)
    }

    /// Deletes an envelope. Each must be deleted exactly once.
    pub(crate) fn drop_envelope(&mut self, handle: EnvelopeHandle) {
        assert!(self.spool.remove(&handle).is_some(), "member {} dropped {handle:?} twice", self.me);
    }

    fn sealed(&mut self, label: Label, recipients: Vec<MemberId>) -> WorkResult {
        WorkResult::Sealed { envelope: self.spool(Envelope { label, recipients }) }
    }

    pub(crate) fn perform(&mut self, work: Work) -> WorkResult {
        match work {
            Work::DeriveInitial { spec, .. } => {
                self.store(Digest::of(format!("initial {} {}", spec.task, spec.seed).as_bytes()))
            }
            Work::Train { run, round, base, .. } => self.train(run, round, base),
            Work::StopTraining { .. } => WorkResult::Done,
            Work::SealUpdate { update, label, to, .. } => {
                let known = self.disk.pending.is_some_and(|pending| pending.update == update);
                if !known || label.content != update {
                    return WorkResult::Failed("the update is not on the disk".into());
                }
                self.sealed(label, vec![to])
            }
            Work::OpenUpdate { envelope, label, base } => self.open_update(envelope, &label, base),
            Work::Combine { key, .. } => match self.accumulators.get(&key) {
                Some(updates) => {
                    let model = model_of(updates.iter());
                    self.store(model)
                }
                None => WorkResult::Failed("no such accumulator".into()),
            },
            Work::SealModel { model, label, recipients } => {
                if !self.disk.models.contains(&model) || label.content != model {
                    return WorkResult::Failed("the model is not on the disk".into());
                }
                if !recipients.iter().all(|(_, key)| is_rsa_public(key)) {
                    return WorkResult::Failed("this is not an RSA key".into());
                }
                self.sealed(label, recipients.into_iter().map(|(member, _)| member).collect())
            }
            Work::OpenModel { envelope, label, .. } => {
                let sealed = self.spool.get(&envelope).expect("an envelope stays until it is dropped");
                if sealed.label != label || !sealed.recipients.contains(&self.me) {
                    return WorkResult::Refused(Refusal::NotAuthentic);
                }
                self.store(label.content)
            }
            Work::Adopt { model, .. } => {
                if !self.disk.models.contains(&model) {
                    return WorkResult::Failed("the model is not on the disk".into());
                }
                self.disk.current = Some(model);
                WorkResult::Done
            }
            Work::DropModels { models } => {
                self.disk.models.retain(|model| !models.contains(model));
                WorkResult::Done
            }
            Work::DropUpdate { update } => {
                self.disk.pending.take_if(|pending| pending.update == update);
                WorkResult::Done
            }
            Work::LookAgain { .. } if matches!(self.data, Data::None) => {
                WorkResult::Failed("there is no data".into())
            }
            Work::LookAgain { .. } => WorkResult::Done,
            Work::ForgetAttempt { key } => {
                self.accumulators.remove(&key);
                WorkResult::Done
            }
        }
    }

    fn store(&mut self, digest: Digest) -> WorkResult {
        self.disk.models.insert(digest);
        WorkResult::Model { digest }
    }

    fn train(&mut self, run: rafty_types::RunId, round: rafty_types::Round, base: Digest) -> WorkResult {
        if !self.disk.models.contains(&base) {
            return WorkResult::Failed("the base is not on the disk".into());
        }
        let num_examples = match self.data {
            Data::None => return WorkResult::NoData,
            Data::Examples(examples) => examples,
            Data::Poisoned => 100,
            Data::TooMany => MAX_EXAMPLES + 1,
        };
        let update = update_of(self.me, base, self.data);
        self.disk.pending = Some(PendingUpdate { run, round, update, base, num_examples });
        WorkResult::Trained { update, num_examples }
    }

    fn open_update(&mut self, handle: EnvelopeHandle, label: &Label, base: Digest) -> WorkResult {
        let sealed = self.spool.get(&handle).expect("an envelope stays until it is dropped").clone();
        if sealed.label != *label || !sealed.recipients.contains(&self.me) {
            return WorkResult::Refused(Refusal::NotAuthentic);
        }
        if !self.disk.models.contains(&base) {
            return WorkResult::Failed("the base is not on the disk".into());
        }
        if label.content.0[0] == mark(Data::Poisoned) {
            return WorkResult::Refused(Refusal::NotFinite);
        }
        let folded = self.accumulators.entry(AttemptKey::of(label)).or_default();
        let before = folded.insert(label.sender, label.content);
        assert_eq!(before, None, "an update of member {} was folded in twice", label.sender);
        let metrics = Metrics { examples: 10, correct: 9, loss_micros: 300_000, train_loss_micros: 200_000 };
        // As a worker of another version might: one of this refuses it before it is folded.
        let too_many = label.content.0[0] == mark(Data::TooMany);
        WorkResult::Opened { num_examples: if too_many { MAX_EXAMPLES + 1 } else { 100 }, metrics }
    }
}
