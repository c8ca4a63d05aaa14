//! What a member heard of another one's starts: which of them counts, and whether two run at the same time.
//!
//! That two are used is certain, never guessed: one shows that it still runs by repeating what it was told since the other
//! one was heard of.

use crate::event::{IF_MOVED, copied_in_words};
use rafty_types::{
    Hello, Incarnation, Index, MAX_INCARNATION_RISE, MemberId, RecordedIncarnation, Term, Time,
};
use std::net::SocketAddr;
use std::time::Duration;

/// A start whose files look like a copy counts when no other one was heard for so long: five hellos, for one that still
/// runs may be held up, or find that every connection goes to the copy.
const NO_OTHER_FOR: Duration = Duration::from_secs(10);
/// A second start is named for so long after it was heard.
const NAMED_FOR: Duration = Duration::from_secs(60);

/// One start of a member, as another member heard of it.
#[derive(Clone, Debug)]
struct HeardStart {
    hello: Hello,
    first: Time,
    last: Time,
    /// It ran at this time, or later.
    ran_at: Option<Time>,
    /// It came after another one of which its disk does not know enough.
    copy: bool,
    /// It voted alone, and its disk lacked what was committed.
    lacking: bool,
}

/// The starts of one member that matter.
#[derive(Clone, Debug)]
pub(crate) struct HeardStarts {
    /// The one that counts, once it is trusted.
    counted: HeardStart,
    /// Its files do not look like a copy, or no other one was heard for a while since it was heard: whoever has just
    /// started itself knows nothing of an original that is held up.
    trusted: bool,
    /// Another one: that before it, or one that does not count.
    other: Option<HeardStart>,
    /// What this leader knew to be acknowledged, and in which term, before it heard of another one beside the one that counts.
    acknowledged: Option<(Term, Index)>,
}

/// Something is wrong with a member's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Anomaly {
    /// Two processes with its identity run at the same time.
    RunsTwice(Vec<SocketAddr>),
    /// It runs on an older copy of its disk.
    Outdated(Option<SocketAddr>),
    /// Its files look like a copy, and it abstains until that is cleared up.
    Suspected(Option<SocketAddr>),
    /// It alone votes, and another member knows of committed entries that it lacks.
    Doubted(MemberId),
}

impl HeardStart {
    fn new(hello: &Hello, ran_at: Option<Time>, now: Time) -> Self {
        Self { hello: hello.clone(), first: now, last: now, ran_at, copy: false, lacking: false }
    }

    fn nonce(&self) -> u64 {
        self.hello.current().nonce
    }

    fn hear(&mut self, hello: &Hello, ran_at: Option<Time>, now: Time) {
        if hello.current().number >= self.hello.current().number {
            self.hello.clone_from(hello);
        }
        self.last = now;
        self.ran_at = self.ran_at.max(ran_at);
    }
}

impl HeardStarts {
    pub(crate) fn new(hello: &Hello, ran_at: Option<Time>, now: Time) -> Self {
        let counted = HeardStart::new(hello, ran_at, now);
        Self { counted, trusted: !hello.suspected, other: None, acknowledged: None }
    }

    /// What the start that counts, or one before it on the same disk, has acknowledged, of what this leader knows to be
    /// `acknowledged` in the member's name.
    pub(crate) fn credit(&mut self, acknowledged: Option<(Term, Index)>) -> Option<(Term, Index)> {
        self.acknowledged = self.credited(acknowledged);
        self.acknowledged
    }

    /// The same without keeping it.
    pub(crate) fn credited(&self, acknowledged: Option<(Term, Index)>) -> Option<(Term, Index)> {
        if self.takes_turns() { self.acknowledged } else { acknowledged }
    }

    /// Takes in a hello. `recorded` is what the replicated state records of the member; `forgot`, that a start which was
    /// not heard of before lacks what an earlier one acknowledged.
    pub(crate) fn hear(
        &mut self,
        hello: &Hello,
        ran_at: Option<Time>,
        recorded: Option<RecordedIncarnation>,
        forgot: bool,
        now: Time,
    ) {
        match self.start_of(hello.current().nonce) {
            Some(start) => start.hear(hello, ran_at, now),
            None => self.begin(HeardStart::new(hello, ran_at, now), forgot),
        }
        self.other.take_if(|other| now.saturating_since(other.last) > NAMED_FOR);
        self.choose(recorded, now);
        let counted = &self.counted;
        let heard_for = now.saturating_since(counted.first);
        self.trusted |=
            !counted.hello.suspected || heard_for > NO_OTHER_FOR && self.another_heard().is_none();
    }

    /// Whether a start with this nonce was heard of and is not forgotten.
    pub(crate) fn knows(&self, nonce: u64) -> bool {
        [Some(&self.counted), self.other.as_ref()].into_iter().flatten().any(|start| start.nonce() == nonce)
    }

    /// For how long the latest start has been heard, whether it counts or not.
    pub(crate) fn latest_for(&self, now: Time) -> Duration {
        let other = self.other.as_ref().map(|other| other.first);
        now.saturating_since(other.map_or(self.counted.first, |other| other.max(self.counted.first)))
    }

    fn start_of(&mut self, nonce: u64) -> Option<&mut HeardStart> {
        [Some(&mut self.counted), self.other.as_mut()]
            .into_iter()
            .flatten()
            .find(|start| start.nonce() == nonce)
    }

    /// The disk of the start of this nonce, whose member votes alone, lacks what was committed.
    pub(crate) fn lacks_committed(&mut self, nonce: u64) {
        if let Some(start) = self.start_of(nonce) {
            (start.lacking, start.copy) = (true, true);
        }
    }

    /// A start that was not heard of before.
    fn begin(&mut self, mut new: HeardStart, forgot: bool) {
        let instead_of_a_suspect = !self.trusted && !new.hello.suspected;
        if self.counted.lacking || instead_of_a_suspect {
            // Whatever comes instead of a copy need not know of it.
            self.other = Some(std::mem::replace(&mut self.counted, new));
            self.trusted |= instead_of_a_suspect;
            return;
        }
        let rise = new.hello.current().number.saturating_sub(self.counted.hello.current().number);
        new.copy = forgot || new.hello.outdated || new.hello.contradicts(self.counted.hello.current());
        let follows = !new.copy && rise <= MAX_INCARNATION_RISE;
        if follows && !new.hello.suspected {
            self.other = Some(std::mem::replace(&mut self.counted, new));
            self.trusted = true;
        } else {
            self.other = Some(new);
        }
    }

    /// Which of two counts.
    fn choose(&mut self, recorded: Option<RecordedIncarnation>, now: Time) {
        let twice = self.runs_twice();
        let Some(other) = &mut self.other else { return };
        let (counted, others) = (&self.counted.hello, &other.hello);
        let copy = |hello: &Hello| is_copy(hello, recorded);
        // A copy was started beside the one it was made of.
        let usurped = twice
            && counted.starts.len() > 1
            && counted.starts.iter().any(|start| start.nonce == others.current().nonce)
            && recorded.map(|recorded| recorded.incarnation.nonce) != Some(counted.current().nonce);
        let moved = !twice
            && others.suspected
            && !other.copy
            && now.saturating_since(self.counted.last) > NO_OTHER_FOR;
        if !copy(others) && (copy(counted) || usurped || moved) {
            std::mem::swap(&mut self.counted, other);
            (self.trusted, self.acknowledged) = (true, None);
        }
    }

    /// Whether two are used at the same time: the one that was heard of first was shown to run after the other one had
    /// begun.
    pub(crate) fn runs_twice(&self) -> bool {
        let Some(other) = &self.other else { return false };
        let (earlier, later) = match self.counted.first <= other.first {
            true => (&self.counted, other),
            false => (other, &self.counted),
        };
        // Of one that the earlier comes after, something may have been on its way.
        let old = earlier.hello.starts.iter().any(|start| start.nonce == later.nonce());
        let began = Some(later.first);
        earlier.ran_at >= began && (!old || later.ran_at >= began)
    }

    /// The start that counts, unless there is a doubt which, and whether it is to be recorded soon: because its files look
    /// like a copy, or so that another one learns that it is one.
    pub(crate) fn to_record(&self, recorded: Option<RecordedIncarnation>) -> Option<(Incarnation, bool)> {
        let suspected = self.counted.hello.suspected;
        let current = self.counted.hello.current();
        let other = self.another_heard();
        // Whoever heard of a copy first must not write over what shows that it is one.
        if is_copy(&self.counted.hello, recorded) || other.is_some_and(|other| !other.copy) {
            return None;
        }
        if !self.is_trusted(recorded) {
            return None;
        }
        let known = recorded.is_some_and(|recorded| recorded.incarnation.nonce == current.nonce);
        let shown = |other: &HeardStart| is_copy(&other.hello, recorded);
        Some((current, suspected && !known || other.is_some_and(|other| !shown(other))))
    }

    pub(crate) fn counts(&self, nonce: u64, recorded: Option<RecordedIncarnation>) -> bool {
        self.counted.nonce() == nonce && self.is_trusted(recorded) && !is_copy(&self.counted.hello, recorded)
    }

    /// What the set has recorded was trusted by others before.
    fn is_trusted(&self, recorded: Option<RecordedIncarnation>) -> bool {
        self.trusted || recorded.is_some_and(|recorded| recorded.incarnation.nonce == self.counted.nonce())
    }

    /// The other start, if it was heard after the one that counts had begun.
    fn another_heard(&self) -> Option<&HeardStart> {
        self.other.as_ref().filter(|other| other.last >= self.counted.first)
    }

    /// Whether what was acknowledged in this member's name may have been by another start than the one that counts.
    pub(crate) fn takes_turns(&self) -> bool {
        self.another_heard().is_some()
    }

    /// Where the other one listens, seen from the start of this nonce, when both run.
    pub(crate) fn twin_of(&self, nonce: u64) -> Option<SocketAddr> {
        let other = self.other.as_ref().filter(|_| self.runs_twice())?;
        let twin = if other.nonce() == nonce { &self.counted } else { other };
        twin.hello.at
    }

    /// What people should know.
    pub(crate) fn anomaly(&self, recorded: Option<RecordedIncarnation>) -> Option<Anomaly> {
        if self.runs_twice() {
            let both = [Some(&self.counted), self.other.as_ref()].into_iter().flatten();
            return Some(Anomaly::RunsTwice(both.filter_map(|start| start.hello.at).collect()));
        }
        let newest = self.other.as_ref().filter(|other| other.last >= self.counted.last);
        let hello = &newest.unwrap_or(&self.counted).hello;
        if is_copy(hello, recorded) {
            return Some(Anomaly::Outdated(hello.at));
        }
        hello.suspected.then_some(Anomaly::Suspected(hello.at))
    }
}

/// Whether a start is known to run on an older copy of the disk, by its own word or by what is recorded of the member.
fn is_copy(hello: &Hello, recorded: Option<RecordedIncarnation>) -> bool {
    hello.outdated || recorded.is_some_and(|recorded| hello.contradicts_record(recorded))
}

/// An anomaly in words.
pub(crate) fn in_words(member: MemberId, anomaly: &Anomaly) -> String {
    let at = |at: &Option<SocketAddr>| at.map_or(String::new(), |at| format!(" at {at}"));
    match anomaly {
        Anomaly::RunsTwice(places) => {
            let places: Vec<_> = places.iter().map(ToString::to_string).collect();
            format!(
                "member {member} runs twice, at {}: stop one of them, and join it anew in another --dir if it shall belong to \
                 the set",
                places.join(" and at ")
            )
        }
        Anomaly::Outdated(place) => format!(
            "member {member}{} was restored from an older copy: it does not vote and nothing of it counts; stop it and \
             bring it back with `rejoin`, or join it anew in another --dir",
            at(place)
        ),
        Anomaly::Doubted(by) => format!(
            "member {member} alone votes and does not lead: member {by} knows of committed entries that are not on its disk, so \
             its disk is an older copy; nothing was changed; to go on from it all the same, and without those entries, stop \
             member {member} and run `recover` there"
        ),
        Anomaly::Suspected(place) => {
            let directory = format!("the directory of member {member}{}", at(place));
            format!("{}; {IF_MOVED}", copied_in_words(&directory))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rafty_types::Index;

    fn hello(starts: &[(u64, u64)], last: u64) -> Hello {
        let starts = starts.iter().map(|(number, nonce)| Incarnation { number: *number, nonce: *nonce });
        Hello { member: MemberId(3), starts: starts.collect(), last: Index(last), ..Hello::default() }
    }

    fn recorded(number: u64, nonce: u64, matched: u64) -> RecordedIncarnation {
        let incarnation = Incarnation { number, nonce };
        RecordedIncarnation { member: MemberId(3), incarnation, matched: Index(matched) }
    }

    /// Whoever has just started hears of a copy before it hears of the original, or instead of it.
    #[test]
    fn a_copy_that_is_heard_first_does_not_replace_the_record_that_condemns_it() {
        let copy = HeardStarts::new(&hello(&[(5, 50), (6, 61)], 40), None, Time::ZERO);
        let older = recorded(5, 50, 40);
        assert_eq!(copy.to_record(Some(older)).map(|(incarnation, _)| incarnation.nonce), Some(61));
        for newer in [recorded(9, 50, 40), recorded(6, 60, 40), recorded(5, 50, 41)] {
            assert_eq!(copy.to_record(Some(newer)), None, "{newer:?}");
        }
    }

    fn suspected(nonce: u64) -> Hello {
        Hello { suspected: true, ..hello(&[(5, 50), (6, nonce)], 40) }
    }

    fn after(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    /// The original may stand still, or be out of reach of whoever has just started.
    #[test]
    fn what_looks_like_a_copy_is_not_trusted_at_once_by_who_has_just_started() {
        let mut starts = HeardStarts::new(&suspected(61), None, Time::ZERO);
        for second in [2, 4, 6, 8, 10] {
            starts.hear(&suspected(61), None, None, false, after(second));
            assert_eq!((starts.counts(61, None), starts.to_record(None)), (false, None), "after {second} s");
        }
        assert!(starts.counts(61, Some(recorded(6, 61, 40))), "others trusted it before");
        starts.hear(&suspected(61), None, None, false, after(12));
        assert!(starts.counts(61, None), "nobody else came");
        assert_eq!(starts.to_record(None), Some((suspected(61).current(), true)));
    }

    /// It was held up for so long that the copy had its place.
    #[test]
    fn the_original_takes_its_place_again_when_it_goes_on_whatever_number_it_has_by_then() {
        for number in [5, 9] {
            let recorded = Some(recorded(5, 50, 40));
            let mut starts = HeardStarts::new(&hello(&[(5, 50)], 40), None, Time::ZERO);
            for second in [4, 8, 12] {
                starts.hear(&suspected(61), None, recorded, false, after(second));
            }
            assert!(starts.counts(61, recorded) && !starts.counts(50, recorded));
            starts.hear(&hello(&[(number, 50)], 40), Some(after(13)), recorded, false, after(14));
            assert!(starts.counts(50, recorded) && !starts.counts(61, recorded), "number {number}");
        }
    }

    /// A copy follows its leader, too, and acknowledges what is committed, while its original starts again.
    #[test]
    fn what_a_copy_acknowledges_is_not_held_against_its_original() {
        let mut starts = HeardStarts::new(&hello(&[(5, 50)], 40), None, Time::ZERO);
        let its_own = Some((Term(0), Index(40)));
        assert_eq!(starts.credit(its_own), its_own);
        starts.hear(&hello(&[(2, 50), (3, 61)], 20), None, None, true, after(2));
        let copys = Some((Term(0), Index(90)));
        assert_eq!((starts.credited(copys), starts.credit(copys)), (its_own, its_own));
        let again = hello(&[(5, 50), (6, 62)], 40);
        let forgot = starts.credit(copys).is_some_and(|what| again.contradicts_acknowledged(what));
        starts.hear(&again, None, None, forgot, after(4));
        assert!(starts.counts(62, None) && !starts.counts(61, None));
        assert_eq!(starts.credit(copys), copys, "nobody else is heard");
    }

    #[test]
    fn the_original_takes_the_place_of_what_looked_like_a_copy() {
        let mut starts = HeardStarts::new(&suspected(61), None, Time::ZERO);
        let original = hello(&[(5, 50)], 40);
        starts.hear(&original, None, None, false, after(6));
        assert!(starts.counts(50, None) && !starts.counts(61, None));
        for second in [8, 12, 16, 20] {
            starts.hear(&suspected(61), None, None, false, after(second));
            starts.hear(&original, None, None, false, after(second));
            assert!(starts.counts(50, None) && !starts.counts(61, None), "after {second} s");
        }
    }
}
