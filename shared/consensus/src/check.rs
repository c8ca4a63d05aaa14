//! Judges a message before the engine sees it: the engine panics on impossible ones.
//!
//! What passes may still be old, repeated or out of order; that is Raft's business. Who sent it is judged before,
//! by the connection it came over.

use crate::membership;
use crate::voices::MAX_TERMS_AHEAD;
use rafty_types::{
    Entry, Index, MAX_PROPOSAL_LEN, MemberId, Membership, MembershipChange, MembershipStep, Message,
    MessageKind, Payload, SnapshotMeta, Term,
};

/// Most entries in one append: the largest `append_batch`.
pub const MAX_ENTRIES: usize = 1_000;
/// Most bytes of payload in one append.
pub const MAX_ENTRY_BYTES: usize = 8 * 1024 * 1024;
/// Most steps of one membership change, and most members in any list of a membership.
pub const MAX_STEPS: usize = 64;
/// Longest context of a read or a campaign, in bytes.
pub const MAX_CONTEXT: usize = 32;
/// Reads of other members that a leader confirms at the same time.
pub(crate) const MAX_PENDING_READS: usize = 1_024;
/// No term or index is larger. Far beyond what counting reaches, far below where adding overflows.
pub(crate) const MAX_NUMBER: u64 = 1 << 60;

/// Why something was not done. Nothing was changed; whoever sent it may send again what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refused {
    /// It is for another member.
    #[error("the message is for another member")]
    NotForUs,
    /// Its sender is nobody or ourselves.
    #[error("the message names no other member as its sender")]
    BadSender,
    /// Such messages do not travel, or not without the snapshot's bytes.
    #[error("messages of this kind do not travel like this")]
    BadKind,
    /// A term, index or priority is impossible, or a field is set that this kind does not have.
    #[error("a field of the message is impossible")]
    BadField,
    /// Entries are missing, out of order, empty where they must not be, or too many.
    #[error("the entries of the message are not a piece of a log, or are too large")]
    BadEntries,
    /// The context is none of ours.
    #[error("the context of the message is not one of a read or a campaign")]
    BadContext,
    /// The snapshot's metadata or membership is impossible.
    #[error("the snapshot's metadata is impossible")]
    BadSnapshot,
    /// It acknowledges what we never sent.
    #[error("the message acknowledges entries that this member does not have")]
    AcknowledgedBeyondLog,
    /// Another member leads in this term.
    #[error("another member leads in this term")]
    SecondLeader,
    /// Only voters send such messages, and its sender does not vote as far as is known here.
    #[error("it does not vote as far as is known here, and only voters send such messages")]
    NoVoice,
    /// Its term is so far ahead that a second voter must know it.
    #[error("its term is more than {MAX_TERMS_AHEAD} ahead, and no second voter knows such a term")]
    TermTooFarAhead,
    /// Only a leader can do it.
    #[error("this member does not lead; ask the leader")]
    NotLeader,
    /// We do not vote, so votes for us mean nothing.
    #[error("this member does not vote")]
    NotVoting,
    /// Our log is not synced: no campaign before it is.
    #[error("this member's log is not synced yet; it cannot stand for election")]
    NotSynced,
    /// Too much is under way already.
    #[error("too much is under way; try again later")]
    Busy,
    /// Another membership change, or a transfer, is under way.
    #[error("another membership change or a transfer is under way; try again when it is done")]
    ChangePending,
    /// The membership change is empty, too large, or would leave nobody who votes.
    #[error("the membership change is impossible")]
    BadChange,
    /// The transfer's target does not vote or leads already.
    #[error("leadership can only be handed to another voter")]
    BadTransfer,
    /// A compaction must be at an applied index, of the term that the log has there, and beyond the last one.
    #[error("a compaction must stand at an applied index, beyond the last snapshot")]
    BadCompaction,
    /// The engine would not take it.
    #[error("the engine does not know the sender")]
    Engine,
}

/// What a message is judged against.
pub(crate) struct Facts {
    pub(crate) me: MemberId,
    pub(crate) term: Term,
    pub(crate) leader: Option<MemberId>,
    pub(crate) leads: bool,
    pub(crate) may_campaign: bool,
    pub(crate) synced: bool,
    pub(crate) last_index: Index,
    /// The commit index, and the term of the entry there.
    pub(crate) committed: (Index, Option<Term>),
    pub(crate) pending_reads: usize,
}

type Verdict = Result<(), Refused>;

fn ensure(holds: bool, otherwise: Refused) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// Whether the engine can be given `message`.
pub(crate) fn check(message: &Message, facts: &Facts) -> Verdict {
    check_envelope(message, facts.me)?;
    match message.kind {
        MessageKind::Append => {
            check_leader(message, facts)?;
            check_anchor(message)?;
            check_entries(message)
        }
        MessageKind::Heartbeat => check_leader(message, facts),
        MessageKind::Snapshot => {
            check_leader(message, facts)?;
            let meta = message.snapshot.as_ref().ok_or(Refused::BadSnapshot)?;
            check_meta(meta)?;
            // The engine would install over what is applied if only the terms differ.
            let contradicts = meta.index == facts.committed.0 && Some(meta.term) != facts.committed.1;
            ensure(meta.term <= message.term && !contradicts, Refused::BadSnapshot)
        }
        MessageKind::TimeoutNow => {
            check_leader(message, facts)?;
            ensure(facts.synced || message.term < facts.term, Refused::NotSynced)
        }
        MessageKind::AppendResponse => {
            let old = !facts.leads || message.term != facts.term || message.reject;
            ensure(old || message.index <= facts.last_index, Refused::AcknowledgedBeyondLog)
        }
        MessageKind::RequestVote => {
            check_anchor(message)?;
            let known = message.context.is_empty() || message.context == raft::CAMPAIGN_TRANSFER;
            ensure(known, Refused::BadContext)
        }
        MessageKind::RequestPreVote => check_anchor(message),
        MessageKind::RequestVoteResponse | MessageKind::RequestPreVoteResponse => {
            ensure(facts.may_campaign, Refused::NotVoting)
        }
        MessageKind::HeartbeatResponse => Ok(()),
        MessageKind::ReadIndex => {
            ensure(!message.context.is_empty(), Refused::BadContext)?;
            ensure(facts.leads, Refused::NotLeader)?;
            ensure(facts.pending_reads < MAX_PENDING_READS, Refused::Busy)
        }
        MessageKind::ReadIndexResponse => {
            ensure(!message.context.is_empty(), Refused::BadContext)?;
            check_leader(message, facts)
        }
        MessageKind::TransferLeader => Err(Refused::BadKind),
    }
}

/// What holds for every kind, and that no field is set that the kind does not have.
fn check_envelope(message: &Message, me: MemberId) -> Verdict {
    ensure(message.to == me, Refused::NotForUs)?;
    ensure(message.from != me && message.from != MemberId(0), Refused::BadSender)?;
    let numbers = [
        message.term.0,
        message.log_term.0,
        message.index.0,
        message.commit.0,
        message.commit_term.0,
        message.reject_hint.0,
    ];
    ensure(numbers.iter().all(|number| *number <= MAX_NUMBER), Refused::BadField)?;
    ensure((message.term == Term(0)) == (message.kind == MessageKind::ReadIndex), Refused::BadField)?;
    ensure(message.priority == 0 && message.request_snapshot == Index(0), Refused::BadField)?;
    ensure(message.entries.is_empty() || message.kind == MessageKind::Append, Refused::BadEntries)?;
    ensure(message.snapshot.is_none() || message.kind == MessageKind::Snapshot, Refused::BadSnapshot)?;
    ensure(message.context.len() <= MAX_CONTEXT, Refused::BadContext)
}

fn check_leader(message: &Message, facts: &Facts) -> Verdict {
    let same_term = message.term == facts.term;
    let other = facts.leader.is_some_and(|leader| leader != message.from);
    ensure(!(same_term && other), Refused::SecondLeader)
}

/// Index 0 is before every log and has term 0; no other entry has.
fn check_anchor(message: &Message) -> Verdict {
    ensure((message.index == Index(0)) == (message.log_term == Term(0)), Refused::BadField)?;
    ensure(message.log_term <= message.term, Refused::BadField)
}

fn check_entries(message: &Message) -> Verdict {
    ensure(message.entries.len() <= MAX_ENTRIES, Refused::BadEntries)?;
    let bytes: usize = message.entries.iter().map(|entry| entry.payload.len()).sum();
    ensure(bytes <= MAX_ENTRY_BYTES, Refused::BadEntries)?;
    ensure(message.entries.iter().all(is_possible), Refused::BadEntries)?;
    let follow = follow(message.index, message.log_term, &message.entries);
    let last_term = message.entries.last().map_or(message.log_term, |entry| entry.term);
    ensure(follow && last_term <= message.term, Refused::BadEntries)
}

/// Whether `entries` come one after another behind the entry at `index` and `term`.
pub(crate) fn follow(index: Index, term: Term, entries: &[Entry]) -> bool {
    let (mut index, mut term) = (index, term);
    entries.iter().all(|entry| {
        let follows = entry.index == index.next() && entry.term >= term && entry.term > Term(0);
        (index, term) = (entry.index, entry.term);
        follows
    })
}

fn is_possible(entry: &Entry) -> bool {
    match &entry.payload {
        Payload::Empty => true,
        Payload::Command(data) => !data.is_empty() && data.len() <= MAX_PROPOSAL_LEN,
        Payload::Membership(change) => check_steps(change).is_ok(),
    }
}

fn check_steps(change: &MembershipChange) -> Verdict {
    let named = change.steps.iter().all(|step| {
        let (MembershipStep::AddVoter(member)
        | MembershipStep::AddLearner(member)
        | MembershipStep::Remove(member)) = step;
        *member != MemberId(0)
    });
    ensure(named && change.steps.len() <= MAX_STEPS, Refused::BadChange)
}

/// Whether a leader may propose `change` on top of `membership`.
pub(crate) fn check_change(change: &MembershipChange, membership: &Membership) -> Verdict {
    check_steps(change)?;
    ensure(!change.steps.is_empty(), Refused::BadChange)?;
    ensure(!membership.is_joint(), Refused::ChangePending)?;
    let (voters, learners) = membership::outcome(membership, change);
    ensure(!voters.is_empty() && voters.len() + learners.len() <= MAX_STEPS, Refused::BadChange)
}

/// Whether the engine can take a snapshot's metadata over.
pub(crate) fn check_meta(meta: &SnapshotMeta) -> Verdict {
    let numbers = (1..=MAX_NUMBER).contains(&meta.index.0) && (1..=MAX_NUMBER).contains(&meta.term.0);
    ensure(numbers && !meta.membership.voters.is_empty(), Refused::BadSnapshot)?;
    check_membership(&meta.membership)
}

pub(crate) fn check_membership(membership: &Membership) -> Verdict {
    let Membership { voters, learners, voters_outgoing, learners_next } = membership;
    for members in [voters, learners, voters_outgoing, learners_next] {
        let sorted = members.windows(2).all(|pair| pair[0] < pair[1]);
        let sane = sorted && members.len() <= MAX_STEPS && members.first() != Some(&MemberId(0));
        ensure(sane, Refused::BadSnapshot)?;
    }
    ensure(!voters.is_empty() || membership.all().is_empty(), Refused::BadSnapshot)?;
    ensure(learners.iter().all(|learner| !membership.votes(*learner)), Refused::BadSnapshot)?;
    let staged = |member: &MemberId| voters_outgoing.contains(member) && !voters.contains(member);
    ensure(learners_next.iter().all(staged), Refused::BadSnapshot)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Member 1 follows member 2 in term 5 and has entries up to 10.
    fn follower() -> Facts {
        Facts {
            me: MemberId(1),
            term: Term(5),
            leader: Some(MemberId(2)),
            leads: false,
            may_campaign: true,
            synced: true,
            last_index: Index(10),
            committed: (Index(9), Some(Term(4))),
            pending_reads: 0,
        }
    }

    fn leader() -> Facts {
        Facts { leader: Some(MemberId(1)), leads: true, ..follower() }
    }

    fn message(kind: MessageKind) -> Message {
        let term = if kind == MessageKind::ReadIndex { Term(0) } else { Term(5) };
        let anchored = matches!(
            kind,
            MessageKind::Append
                | MessageKind::RequestVote
                | MessageKind::RequestPreVote
                | MessageKind::AppendResponse
        );
        let reads = matches!(kind, MessageKind::ReadIndex | MessageKind::ReadIndexResponse);
        let voters = vec![MemberId(1), MemberId(2)];
        let membership = Membership { voters, ..Membership::default() };
        let meta = SnapshotMeta { index: Index(20), term: Term(4), membership };
        Message {
            log_term: if anchored { Term(4) } else { Term(0) },
            index: if anchored { Index(10) } else { Index(0) },
            commit: Index(9),
            snapshot: (kind == MessageKind::Snapshot).then_some(meta),
            context: if reads { vec![1; 24] } else { Vec::new() },
            ..Message::new(kind, MemberId(2), MemberId(1), term)
        }
    }

    fn verdict(kind: MessageKind, facts: &Facts, spoil: impl FnOnce(&mut Message)) -> Verdict {
        let mut message = message(kind);
        spoil(&mut message);
        check(&message, facts)
    }

    #[test]
    fn what_a_sane_member_says_passes() {
        for kind in [
            MessageKind::Append,
            MessageKind::Heartbeat,
            MessageKind::Snapshot,
            MessageKind::TimeoutNow,
            MessageKind::RequestVote,
            MessageKind::RequestPreVote,
            MessageKind::ReadIndexResponse,
        ] {
            assert_eq!(verdict(kind, &follower(), |_| {}), Ok(()), "{kind:?}");
        }
        for kind in [
            MessageKind::AppendResponse,
            MessageKind::HeartbeatResponse,
            MessageKind::RequestVoteResponse,
            MessageKind::ReadIndex,
        ] {
            assert_eq!(verdict(kind, &leader(), |_| {}), Ok(()), "{kind:?}");
        }
    }

    #[test]
    fn a_message_for_another_or_from_nobody_is_refused() {
        let to = verdict(MessageKind::Heartbeat, &follower(), |message| message.to = MemberId(3));
        assert_eq!(to, Err(Refused::NotForUs));
        for from in [0, 1] {
            let from = verdict(MessageKind::Heartbeat, &follower(), |message| message.from = MemberId(from));
            assert_eq!(from, Err(Refused::BadSender));
        }
    }

    #[test]
    fn impossible_fields_are_refused_by_reason() {
        use MessageKind::{Append, AppendResponse, Heartbeat, ReadIndex, RequestVote, Snapshot, TimeoutNow};
        type Spoil = fn(&mut Message);
        let follower_cases: [(MessageKind, Refused, Spoil); 13] = [
            (Append, Refused::BadField, |message| message.log_term = Term(0)),
            (Append, Refused::BadField, |message| message.log_term = Term(6)),
            (Append, Refused::BadField, |message| message.request_snapshot = Index(1)),
            (Append, Refused::BadField, |message| message.index = Index(u64::MAX)),
            (Append, Refused::BadField, |message| message.term = Term(0)),
            (Append, Refused::SecondLeader, |message| message.from = MemberId(3)),
            (Heartbeat, Refused::BadContext, |message| message.context = vec![0; MAX_CONTEXT + 1]),
            (RequestVote, Refused::BadContext, |message| message.context = vec![0; 3]),
            (RequestVote, Refused::BadField, |message| message.priority = 1),
            (Snapshot, Refused::BadSnapshot, |message| message.snapshot = None),
            (Snapshot, Refused::BadSnapshot, |message| {
                message.snapshot = message.snapshot.take().map(|meta| SnapshotMeta {
                    index: Index(9),
                    term: Term(3),
                    ..meta
                });
            }),
            (TimeoutNow, Refused::SecondLeader, |message| message.from = MemberId(3)),
            (ReadIndex, Refused::NotLeader, |_| {}),
        ];
        for (kind, why, spoil) in follower_cases {
            assert_eq!(verdict(kind, &follower(), spoil), Err(why), "{kind:?}");
        }
        let beyond = verdict(AppendResponse, &leader(), |message| message.index = Index(11));
        assert_eq!(beyond, Err(Refused::AcknowledgedBeyondLog));
        let busy = Facts { pending_reads: MAX_PENDING_READS, ..leader() };
        assert_eq!(verdict(ReadIndex, &busy, |_| {}), Err(Refused::Busy));
        let learner = Facts { may_campaign: false, ..follower() };
        assert_eq!(verdict(MessageKind::RequestVoteResponse, &learner, |_| {}), Err(Refused::NotVoting));
        let unsynced = Facts { synced: false, ..follower() };
        assert_eq!(verdict(TimeoutNow, &unsynced, |_| {}), Err(Refused::NotSynced));
        assert_eq!(verdict(MessageKind::TransferLeader, &leader(), |_| {}), Err(Refused::BadKind));
    }

    #[test]
    fn entries_that_are_no_piece_of_a_log_are_refused() {
        let entry = |index, term, payload| Entry { index: Index(index), term: Term(term), payload };
        let removed = MembershipChange { steps: vec![MembershipStep::Remove(MemberId(0))] };
        let bad = [
            vec![entry(12, 5, Payload::Empty)],
            vec![entry(11, 3, Payload::Empty)],
            vec![entry(11, 6, Payload::Empty)],
            vec![entry(11, 5, Payload::Empty), entry(13, 5, Payload::Empty)],
            vec![entry(11, 5, Payload::Command([].into()))],
            vec![entry(11, 5, Payload::Command(vec![0; MAX_PROPOSAL_LEN + 1].into()))],
            vec![entry(11, 5, Payload::Membership(removed))],
            (0..=MAX_ENTRIES as u64).map(|n| entry(11 + n, 5, Payload::Empty)).collect(),
        ];
        for entries in bad {
            let outcome = verdict(MessageKind::Append, &follower(), |message| message.entries = entries);
            assert_eq!(outcome, Err(Refused::BadEntries));
        }
        let stray = verdict(MessageKind::Heartbeat, &follower(), |message| {
            message.entries = vec![entry(11, 5, Payload::Empty)];
        });
        assert_eq!(stray, Err(Refused::BadEntries));
    }

    #[test]
    fn a_change_must_leave_somebody_who_votes_and_must_wait_for_the_one_before() {
        let membership = Membership { voters: vec![MemberId(1)], ..Membership::default() };
        let change = |steps| MembershipChange { steps };
        let remove = change(vec![MembershipStep::Remove(MemberId(1))]);
        let add = change(vec![MembershipStep::AddLearner(MemberId(2))]);
        assert_eq!(check_change(&remove, &membership), Err(Refused::BadChange));
        assert_eq!(check_change(&change(Vec::new()), &membership), Err(Refused::BadChange));
        assert_eq!(check_change(&add, &membership), Ok(()));
        let joint = Membership { voters_outgoing: vec![MemberId(1)], ..membership };
        assert_eq!(check_change(&add, &joint), Err(Refused::ChangePending));
    }
}
