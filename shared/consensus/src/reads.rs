//! Linearizable reads through ReadIndex: many requests behind one question to the engine.
//!
//! Every question has a fresh context, so a late answer to an older one is never taken for a newer one. It does not
//! wait for anything to be applied: the caller does, up to the index it is given.

use rafty_types::{MemberId, Time};
use std::time::Duration;

/// Reads that may wait at the same time.
const MAX_WAITING: usize = 4_096;
/// How often a question is asked before its reads fail.
const MAX_TRIES: u32 = 16;

/// The reads of this member.
pub(crate) struct Reads {
    me: MemberId,
    /// Differs between two processes of one member, whose counters both start at 0.
    nonce: u64,
    counter: u64,
    retry_after: Duration,
    waiting: Vec<u64>,
    asked: Option<Question>,
}

/// One question to the engine and the requests it answers.
struct Question {
    context: Vec<u8>,
    requests: Vec<u64>,
    tries: u32,
    retry_at: Time,
    sent: bool,
}

impl Reads {
    pub(crate) fn new(me: MemberId, nonce: u64, retry_after: Duration) -> Self {
        Self { me, nonce, counter: 0, retry_after, waiting: Vec::new(), asked: None }
    }

    /// How many requests wait for an answer.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.asked.as_ref().map_or(0, |question| question.requests.len())
    }

    /// Takes a request in; false when there are too many.
    pub(crate) fn push(&mut self, request: u64) -> bool {
        let room = self.len() < MAX_WAITING;
        if room {
            self.waiting.push(request);
        }
        room
    }

    /// Leadership changed: the engine forgot the question, so it is asked again at once.
    pub(crate) fn ask_again(&mut self) {
        if let Some(question) = &mut self.asked {
            question.sent = false;
        }
    }

    /// The requests that were tried often enough.
    pub(crate) fn given_up(&mut self, now: Time) -> Vec<u64> {
        let spent = |question: &mut Question| question.tries >= MAX_TRIES && question.retry_at <= now;
        self.asked.take_if(spent).map(|question| question.requests).unwrap_or_default()
    }

    /// The context to ask the engine with, if it is time to ask and `possible` to be answered.
    pub(crate) fn question(&mut self, now: Time, possible: bool) -> Option<Vec<u8>> {
        if self.asked.is_none() && !self.waiting.is_empty() {
            let requests = std::mem::take(&mut self.waiting);
            let retry_at = now + self.retry_after;
            self.asked = Some(Question { context: Vec::new(), requests, tries: 1, retry_at, sent: false });
        }
        let question = self.asked.as_mut()?;
        if question.retry_at <= now {
            question.tries += 1;
            question.retry_at = now + self.retry_after;
            question.sent = false;
        }
        if question.sent || !possible {
            return None;
        }
        self.counter += 1;
        question.sent = true;
        question.context =
            [self.me.0, self.nonce, self.counter].iter().flat_map(|n| n.to_le_bytes()).collect();
        Some(question.context.clone())
    }

    /// The requests that the answer to `context` is for.
    pub(crate) fn answered(&mut self, context: &[u8]) -> Vec<u64> {
        let ours = |question: &mut Question| question.sent && question.context == context;
        self.asked.take_if(ours).map(|question| question.requests).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::since_start(Duration::from_millis(ms))
    }

    fn reads() -> Reads {
        Reads::new(MemberId(1), 7, Duration::from_millis(100))
    }

    #[test]
    fn one_question_is_under_way_and_what_comes_meanwhile_waits_for_the_next() {
        let mut reads = reads();
        assert!(reads.push(1) && reads.push(2));
        let first = reads.question(at(0), true).unwrap();
        assert!(reads.push(3));
        assert_eq!(reads.question(at(1), true), None);
        assert_eq!(reads.answered(&first), [1, 2]);
        let second = reads.question(at(2), true).unwrap();
        assert_ne!(first, second);
        assert_eq!(reads.answered(&second), [3]);
    }

    #[test]
    fn a_retry_has_a_fresh_context_and_the_old_answer_counts_no_more() {
        let mut reads = reads();
        reads.push(1);
        let first = reads.question(at(0), true).unwrap();
        let second = reads.question(at(100), true).unwrap();
        assert_ne!(first, second);
        assert!(reads.answered(&first).is_empty());
        assert_eq!(reads.answered(&second), [1]);
    }

    #[test]
    fn what_cannot_be_asked_waits_and_fails_in_the_end() {
        let mut reads = reads();
        reads.push(1);
        for tick in 0..u64::from(MAX_TRIES) {
            assert_eq!(reads.question(at(tick * 100), false), None);
            assert!(reads.given_up(at(tick * 100)).is_empty());
        }
        assert_eq!(reads.given_up(at(u64::from(MAX_TRIES) * 100)), [1]);
        assert_eq!(reads.len(), 0);
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut reads = reads();
        assert!((0..MAX_WAITING as u64).all(|request| reads.push(request)));
        assert!(!reads.push(0));
    }
}
