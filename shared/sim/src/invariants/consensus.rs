//! The five properties of Raft (Ongaro and Ousterhout 2014, figure 3), of joint consensus (§6), and of the disk.

use crate::disk::Disk;
use crate::member::Process;
use crate::terms::Terms;
use rafty_consensus::Role;
use rafty_types::{Batch, Entry, Index, MemberId, Membership, Message, MessageKind, Payload, Term};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What was seen of logs and leaders.
#[derive(Default)]
pub struct Logs {
    leaders: BTreeMap<Term, MemberId>,
    /// What each entry is, and the term of the one before.
    entries: HashMap<(Index, Term), (Payload, Option<Term>)>,
    /// By index, the term of each committed entry, and the term it was seen committed in. `None` where nobody has seen
    /// the entry. The last one is there.
    committed: Vec<Option<(Term, Term)>>,
    /// What each id has ever had synced, whatever became of its disk since.
    synced: BTreeMap<MemberId, Terms>,
    /// The same for the one that has no turn, where two run with one id.
    waiting: BTreeMap<MemberId, Terms>,
    /// Where somebody's log has or had a change of membership.
    changes: BTreeSet<Index>,
    /// Whom each member voted for.
    votes: BTreeMap<(MemberId, Term), MemberId>,
}

impl Logs {
    /// The highest committed index seen.
    pub fn last_committed(&self) -> Index {
        Index(self.committed.len().saturating_sub(1) as u64)
    }

    fn committed_at(&self, index: Index) -> Option<(Term, Term)> {
        self.committed.get(usize::try_from(index.0).ok()?).copied().flatten()
    }

    fn note_committed(&mut self, index: Index, terms: (Term, Term)) {
        let at = usize::try_from(index.0).expect("an index of a run");
        self.committed.resize(self.committed.len().max(at + 1), None);
        self.committed[at] = Some(terms);
    }

    /// How many terms had a leader.
    pub fn terms_led(&self) -> usize {
        self.leaders.len()
    }

    /// A member has recovered this from its disk.
    pub fn recovered(&mut self, id: MemberId, terms: &Terms) {
        self.synced.insert(id, terms.clone());
    }

    /// Another process of a member has its turn, on a disk that holds this.
    pub fn other_disk(&mut self, id: MemberId, terms: Terms) {
        if let Some(before) = self.synced.insert(id, terms) {
            self.waiting.insert(id, before);
        }
    }

    /// Only the one that has its turn is left.
    pub fn one_disk(&mut self, id: MemberId) {
        self.waiting.remove(&id);
    }

    /// A batch is on a member's disk.
    pub fn synced(&mut self, id: MemberId, batch: &Batch) {
        let installed = batch.install.as_ref().map(|snapshot| snapshot.meta.term);
        let before = |first: &Entry| self.synced.get(&id)?.at(Index(first.index.0 - 1));
        let before = installed.or_else(|| before(batch.entries.first()?));
        self.log_matching(id, &batch.entries, before);
        self.synced.entry(id).or_default().write(batch);
    }

    /// Promises are durable: whoever asks for votes, gives one or acknowledges entries has on its disk what that rests on
    /// when it says so, or a crash would make it break its word.
    pub fn promises_are_durable(&mut self, id: MemberId, message: &Message, disk: &Disk) {
        let Message { kind, term, to, reject, .. } = *message;
        let (kept, what) = match kind {
            MessageKind::RequestVote => (Some(id), "its term and its vote for itself"),
            MessageKind::RequestVoteResponse if !reject => (Some(to), "its vote"),
            MessageKind::AppendResponse if !reject => (None, "the entries that it acknowledges"),
            MessageKind::Append => (None, "the term that it leads"),
            _ => return,
        };
        let state = disk.hard_state;
        let voted = kept.is_none_or(|whom| state.term > term || state.voted_for == Some(whom));
        let has = kind != MessageKind::AppendResponse || message.index <= disk.last();
        let durable = state.term >= term && voted && has;
        assert!(
            durable,
            "promises are durable: member {id} has not synced {what} in term {term}: {message:?}"
        );
        if let Some(whom) = kept {
            let known = *self.votes.entry((id, term)).or_insert(whom);
            assert_eq!(known, whom, "one vote each: member {id} votes twice in term {term}");
        }
    }

    /// Copies promise nothing: whoever runs on an older copy of its disk stands for no election, gives no vote, and
    /// acknowledges only what is committed without it.
    pub fn copies_promise_nothing(&self, id: MemberId, message: &Message) {
        let promises = match message.kind {
            MessageKind::RequestVote => true,
            MessageKind::RequestVoteResponse => !message.reject,
            MessageKind::AppendResponse => !message.reject && message.index > self.last_committed(),
            _ => false,
        };
        assert!(!promises, "copies promise nothing: member {id} runs on an older copy and says {message:?}");
    }

    /// Election safety: at most one leader can be elected in a given term.
    pub fn election_safety(&mut self, id: MemberId, process: &Process) {
        let consensus = process.node.consensus();
        if consensus.role() == Role::Leader {
            let leader = *self.leaders.entry(consensus.term()).or_insert(id);
            assert_eq!(leader, id, "election safety: term {} has two leaders", consensus.term());
        }
    }

    /// Leader append-only: a leader never overwrites or deletes entries in its log; it only appends.
    pub fn leader_append_only(&self, id: MemberId, batch: &Batch, process: &Process) {
        let (consensus, seen) = (process.node.consensus(), &process.seen);
        let led_before = seen.led && seen.term == consensus.term() && consensus.role() == Role::Leader;
        let Some(first) = batch.entries.first().filter(|_| led_before) else { return };
        let last = process.terms.last();
        assert!(first.index > last, "leader append-only: leader {id} writes {} again", first.index);
    }

    /// Log matching: if two logs contain an entry with the same index and term, then the logs are identical in all
    /// entries up through it. Looked at are entries that others or the disk have heard of: what a crash wiped out before
    /// that never was. `before` is the term of the entry before the first, where it is known.
    pub fn log_matching(&mut self, id: MemberId, entries: &[Entry], mut before: Option<Term>) {
        for entry in entries {
            let new = || (entry.payload.clone(), before);
            let known = self.entries.entry((entry.index, entry.term)).or_insert_with(new);
            let same =
                known.0 == entry.payload && (known.1 == before || known.1.is_none() || before.is_none());
            assert!(
                same,
                "log matching: member {id} has another entry {} of term {}",
                entry.index, entry.term
            );
            known.1 = known.1.or(before);
            before = Some(entry.term);
            if matches!(entry.payload, Payload::Membership(_)) {
                self.changes.insert(entry.index);
            }
        }
    }

    /// Leader completeness: an entry committed in a term is in the logs of the leaders of all later terms.
    pub fn leader_completeness(&self, id: MemberId, process: &Process) {
        let consensus = process.node.consensus();
        let new =
            consensus.role() == Role::Leader && !(process.seen.led && process.seen.term == consensus.term());
        if !new {
            return;
        }
        let earlier = |(index, terms): (usize, &Option<(Term, Term)>)| {
            let (term, seen_in) = (*terms)?;
            (seen_in < consensus.term()).then_some((Index(index as u64), term))
        };
        let Some((index, term)) = self.committed.iter().enumerate().rev().find_map(earlier) else { return };
        let has = process.terms.has(index, term);
        assert!(has, "leader completeness: {id} leads term {} without entry {index}", consensus.term());
    }

    /// Commitment: what counts as committed is on the disks of a majority of each voter set, by an id's own record of
    /// what it has ever synced; a leader counts the copies of entries of its own term only (§5.4.2); and it is the same
    /// entry for everyone.
    pub fn commitment(&mut self, id: MemberId, process: &Process) {
        let consensus = process.node.consensus();
        let mut index = self.last_committed();
        let commit = consensus.commit();
        while index < commit {
            index = index.next();
            let Some(term) = process.terms.at(index) else { continue };
            self.note_committed(index, (term, consensus.term()));
            let sets = [&process.seen.membership, consensus.membership()];
            let durable = sets.iter().any(|set| self.is_durable(index, term, set));
            assert!(durable, "commitment: entry {index} of term {term} is on too few disks, says {id}");
        }
        let seen = &process.seen;
        let led = seen.led && seen.term == consensus.term() && consensus.role() == Role::Leader;
        if let Some(term) = process.terms.at(commit).filter(|_| led && commit > seen.commit) {
            let own = consensus.term();
            assert_eq!(term, own, "commitment: leader {id} counts copies of entry {commit} of an older term");
        }
        if let (Some(term), Some((known, _))) = (process.terms.at(commit), self.committed_at(commit)) {
            assert_eq!(term, known, "state-machine safety: member {id} has another entry {commit}");
        }
    }

    fn is_durable(&self, index: Index, term: Term, membership: &Membership) -> bool {
        let disks = |id: &MemberId| [self.synced.get(id), self.waiting.get(id)].into_iter().flatten();
        let has = |id: &&MemberId| disks(id).any(|terms| terms.has(index, term));
        let majority = |voters: &[MemberId]| 2 * voters.iter().filter(has).count() > voters.len();
        majority(&membership.voters)
            && (membership.voters_outgoing.is_empty() || majority(&membership.voters_outgoing))
    }

    /// One voter set overlap: voters change by joint consensus only, so that any majority of one membership meets any
    /// majority of the next.
    pub fn one_voter_set_overlap(&self, id: MemberId, process: &Process) {
        let (before, now) = (&process.seen.membership, process.node.consensus().membership());
        if before == now || before.voters.is_empty() {
            return;
        }
        let applied = process.node.consensus().applied();
        // Whoever takes over a snapshot, or applies much at once, does not see each step.
        let steps = self.changes.range(process.seen.applied.next()..=applied).count();
        let entered = now.voters_outgoing == before.voters;
        let left = before.is_joint() && !now.is_joint() && now.voters == before.voters;
        let same_voters = now.voters == before.voters && now.voters_outgoing == before.voters_outgoing;
        assert!(
            steps > 1 || entered || left || same_voters,
            "one voter set overlap: member {id} went from {before:?} to {now:?}"
        );
    }
}
