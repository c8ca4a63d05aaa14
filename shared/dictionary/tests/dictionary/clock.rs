//! What time it is for the peer set: by monotonic clocks, whatever the wall clocks show.

use crate::script::*;
use rafty_dictionary::{Entries, MAX_STEP_MS, MENDED_TTL_MS, Outcome, Replicated};
use rafty_types::ControlCommand as C;
use rafty_types::MemberKind::Agent;
use rafty_types::*;
use std::collections::BTreeMap;

const YEAR_MS: u64 = 365 * 86_400_000;
/// What the clock on the wall shows in these stories.
const WALL_MS: u64 = 1_700_000_000_000;

fn stamped(story: &mut Script, stamp: Stamp, command: C) -> Option<Rejection> {
    let proposal = story.proposal(story.id("ann"), Command::Control(command));
    why(&story.propose(&Proposal { stamp, ..proposal }))
}

/// The control part up to its clients, of whom there are none, with runs as format 4 had them: without arrivals, and
/// without who rests. Each update is [`Script::accept`]'s of this name, in one run at most.
fn without_arrivals(state: &Replicated<Entries>, control: &[u8]) -> Vec<u8> {
    let Some(run) = state.control().runs().values().next() else { return control.to_vec() };
    let arrivals = postcard::to_allocvec(&run.arrivals).expect("it encodes");
    let (control, clients) = control.split_at(control.len() - 1);
    let mut control = [control.strip_suffix(&arrivals[..]).expect("arrivals come last"), clients].concat();
    let update = [&digest("update").0[..], &[100]].concat();
    // It arrived after 1,000 ms; and nobody was refused, and nobody rests.
    for (before, gone) in [(&[][..], &[1, 0xe8, 0x07][..]), (&[0], &[0])] {
        let found = [&update, before, gone].concat();
        if let Some(at) = control.windows(found.len()).position(|bytes| bytes == found) {
            let end = at + found.len();
            control.drain(end - gone.len()..end);
        }
    }
    control
}

/// A state without tokens in which nobody ever fell silent as a member of format 4 wrote it: only the clock is another, and
/// there are no epoch, no record of starts, and nothing of how long members have been reachable.
fn as_format_4(state: &Replicated<Entries>, now_ms: u64) -> Vec<u8> {
    with_sessions_of_format_4(state, now_ms, &BTreeMap::new())
}

/// As format 4 had them: the last serial, where it was used last, and the answers.
type OldSessions = BTreeMap<SessionId, (Serial, Index, BTreeMap<Serial, Outcome>)>;

/// The same with these sessions.
fn with_sessions_of_format_4(state: &Replicated<Entries>, now_ms: u64, old: &OldSessions) -> Vec<u8> {
    // What members issued was not kept.
    let bytes = state.without_credentials().snapshot();
    // Behind 20 bytes of head: the applied index, then what time it is, the wall clock, and what it is.
    let (head, fixed) = bytes.split_at(20);
    let (applied, rest): (u64, _) = postcard::take_from_bytes(fixed).expect("an index");
    let (_, rest): ((u64, u64, bool), _) = postcard::take_from_bytes(rest).expect("a clock");
    let len = u64::from_le_bytes(*head.last_chunk().expect("8 bytes")) as usize;
    let behind = fixed.len() - len;
    let (control, rest) = rest.split_at(rest.len() - behind);
    // No session is one byte; before it stand the epoch, whether an odd number votes, in one byte that no start is
    // recorded, since when all but the founder have been there, and in five bytes that states were never compared,
    // and in one that nobody said what its program supports.
    let epoch = postcard::to_allocvec(&(Epoch::first(CLUSTER), true)).expect("it encodes");
    let control = control.strip_suffix(&[0]).expect("nothing was issued");
    let control = control.strip_suffix(&[0]).expect("no session");
    let sessions = postcard::to_allocvec(old).expect("it encodes");
    let (members, elapsed_ms) = (state.control().members(), state.elapsed_ms());
    let since = |id: &MemberId| (*id, (0, elapsed_ms - state.control().reachable_ms(*id, elapsed_ms)));
    let joined: BTreeMap<MemberId, (u64, u64)> = members.keys().skip(1).map(since).collect();
    let control = control.strip_suffix(&[0]).expect("nobody said what it supports");
    let control = control.strip_suffix(&[0; 5]).expect("no state was compared");
    let control = control.strip_suffix(&postcard::to_allocvec(&joined).expect("it encodes")[..]);
    let control = control.and_then(|control| control.strip_suffix(&[0])).expect("no start is recorded");
    let control = without_arrivals(state, control.strip_suffix(&epoch[..]).expect("the first epoch"));
    let control = [control, sessions].concat();
    let clock = postcard::to_allocvec(&(applied, now_ms)).expect("it encodes");
    let mut old = head[..8].to_vec();
    old.extend(4_u32.to_le_bytes());
    old.extend(((clock.len() + control.len()) as u64).to_le_bytes());
    old.extend(clock);
    old.extend(control);
    old.extend(rest);
    old
}

#[test]
fn a_wall_clock_that_is_years_off_decides_nothing() {
    for wall_ms in [0, WALL_MS, WALL_MS + 20 * YEAR_MS, u64::MAX] {
        let mut story = Script::founded_by("ann");
        let ticket = token("ticket", Agent, 3);
        let stamp = Stamp::Elapsed { elapsed_ms: 5_000, wall_ms };
        assert_eq!(stamped(&mut story, stamp, C::TokenCreated(ticket.clone())), None);
        let stamp = Stamp::Elapsed { elapsed_ms: 5_000 + HOUR_MS - 1, wall_ms: WALL_MS };
        let bob = enrolment("bob", &ticket, "ticket", 1);
        assert_eq!(stamped(&mut story, stamp, C::Enrol(bob)), None, "one millisecond before its time");
        let stamp = Stamp::Elapsed { elapsed_ms: 5_000 + HOUR_MS, wall_ms: 0 };
        let cid = enrolment("cid", &ticket, "ticket", 2);
        assert_eq!(stamped(&mut story, stamp, C::Enrol(cid)), Some(Rejection::ExpiredToken));
    }
}

#[test]
fn time_never_runs_back_and_one_stamp_adds_a_month_at_most() {
    let mut story = Script::founded_by("ann");
    let mut after = |elapsed_ms| {
        stamped(&mut story, Stamp::Elapsed { elapsed_ms, wall_ms: 1 }, C::SessionOpened);
        story.state.elapsed_ms()
    };
    assert_eq!(after(7_000), 7_000);
    assert_eq!(after(3_000), 7_000);
    assert_eq!(after(u64::MAX), 7_000 + MAX_STEP_MS);
    // Whoever lied has aged the tokens, and not stopped time.
    assert_eq!(after(8_000 + MAX_STEP_MS), 8_000 + MAX_STEP_MS);
}

#[test]
fn stamps_of_the_version_before_are_refused_once_elapsed_time_counts() {
    let mut story = Script::founded_by("ann");
    let refused = stamped(&mut story, Stamp::Wall(WALL_MS), C::TokenCreated(token("ticket", Agent, 1)));
    assert!(matches!(refused, Some(Rejection::Invalid(_))));
    assert!(story.state.control().tokens().is_empty());
}

/// A peer set of format 4, with what its old entries say, and then the first one of today.
struct Updated {
    story: Script,
}

impl Updated {
    fn from(now_ms: u64) -> Self {
        Self::of(Script::founded_by("ann"), now_ms)
    }

    fn of(mut story: Script, now_ms: u64) -> Self {
        let old = as_format_4(&story.state, now_ms);
        story.state.restore(&old).expect("the format before");
        Self { story }
    }

    /// An entry of format 2.
    fn old(&mut self, wall_ms: u64, until_ms: u64, name: &str) -> Option<Rejection> {
        let record = TokenRecord { ttl_ms: until_ms, ..token(name, Agent, 1) };
        stamped(&mut self.story, Stamp::Wall(wall_ms), C::TokenCreated(record))
    }

    fn left(&self, name: &str) -> u64 {
        let state = &self.story.state;
        state.control().tokens()[&token(name, Agent, 1).id].left_ms(state.elapsed_ms())
    }
}

#[test]
fn old_entries_mean_what_they_meant_and_jumped_tokens_are_mended_by_the_first_new_one() {
    let mut set = Updated::from(WALL_MS);
    assert_eq!(set.old(WALL_MS, WALL_MS + HOUR_MS, "hour"), None);
    assert_eq!(set.old(WALL_MS, WALL_MS + 20 * YEAR_MS, "made by a clock ahead"), None);
    let late = set.old(WALL_MS + 2 * HOUR_MS, WALL_MS + HOUR_MS, "late");
    assert!(matches!(late, Some(Rejection::Invalid(why)) if why.contains("expired already")));
    assert_eq!(set.old(WALL_MS + 2 * HOUR_MS, WALL_MS + 5 * HOUR_MS, "three"), None);

    // The leader's clock was 20 years ahead for a while: nothing that is made from now on minds.
    let stamp = Stamp::Elapsed { elapsed_ms: 1_000, wall_ms: WALL_MS };
    assert_eq!(stamped(&mut set.story, stamp, C::TokenCreated(token("new", Agent, 1))), None);
    assert_eq!(set.story.state.elapsed_ms(), 1_000);
    assert_eq!(set.left("new"), HOUR_MS);
    assert_eq!(set.left("three"), 3 * HOUR_MS - 1_000);
    assert_eq!(set.left("made by a clock ahead"), MENDED_TTL_MS - 1_000);
    assert!(!set.story.state.control().tokens().contains_key(&token("hour", Agent, 1).id));
}

/// Nobody knows whose they were. Members read the state at different indices: until then all must do as format 4 did.
#[test]
fn sessions_of_the_version_before_end_with_the_first_new_entry_whether_read_as_state_or_as_entries() {
    let mut before = Script::founded_by("ann");
    let mut entries = Updated::of(before.clone(), WALL_MS).story;
    let now = Stamp::Elapsed { elapsed_ms: 0, wall_ms: WALL_MS };
    for (story, stamp) in [(&mut before, now), (&mut entries, Stamp::Wall(WALL_MS))] {
        assert_eq!(stamped(story, stamp, C::SessionOpened), None);
    }
    let session = SessionId(entries.state.applied().0);
    let write = |story: &mut Script, by: &str, stamp: Stamp, serial: u64, value: &[u8]| {
        let session = Some((session, Serial(serial)));
        let write = Proposal { stamp, session, ..story.proposal(story.known(by), set("a", value)) };
        story.propose(&write).outcome.expect("an answer")
    };
    let answer = write(&mut entries, "ann", Stamp::Wall(WALL_MS), 1, b"1");
    assert!(matches!(answer, Outcome::User(..)));
    assert_eq!(write(&mut before, "ann", now, 1, b"1"), answer);

    let old = [(session, (Serial(1), entries.state.applied(), [(Serial(1), answer.clone())].into()))];
    let bytes = with_sessions_of_format_4(&before.state, WALL_MS, &old.into());
    let mut state = entries.clone();
    state.state.restore(&bytes).expect("the format before");
    assert_eq!(state.state.digest(), entries.state.digest());
    for story in [&mut state, &mut entries] {
        assert_eq!(write(story, "ann", Stamp::Wall(WALL_MS), 1, b"2"), answer, "as format 4 answered");
        let mut again = story.clone();
        again.state.restore(&story.state.snapshot()).expect("a state of today");
        assert_eq!(again.state.digest(), story.state.digest());
        let first = Stamp::Elapsed { elapsed_ms: 1_000, wall_ms: WALL_MS };
        let refused = write(story, "ann", first, 1, b"1");
        let index = story.state.applied();
        let unknown = ControlResult::Rejected(Rejection::UnknownSession);
        assert_eq!((refused, story.state.sessions()), (Outcome::Control(unknown, index), 0), "whose was it?");
    }
    assert_eq!(state.state.digest(), entries.state.digest());
}

#[test]
fn rounds_of_the_version_before_teach_no_deadline_whether_read_as_state_or_as_entries() {
    let mut story = Script::founded_by("ann");
    story.leads("ann");
    story.submits("ann", 3);
    story.does("ann", story.open());
    story.does("ann", story.accept("ann", "update"));
    let publication = C::RoundPublished(story.publication(&[("ann", "update")], "model"));
    let mut behind_it = Script::founded_by("ann");
    behind_it.leads("ann"); // in the same term
    behind_it.state.restore(&as_format_4(&story.state, WALL_MS)).expect("the format before");
    assert_eq!(stamped(&mut behind_it, Stamp::Wall(WALL_MS), publication.clone()), None);
    story.does("ann", publication);
    let arrivals =
        |story: &Script| story.run().arrivals.of(story.id("ann"), story.run().round).collect::<Vec<_>>();
    assert_eq!(arrivals(&story), [1_000]);
    story.state.restore(&as_format_4(&story.state, WALL_MS)).expect("the format before");
    assert!(arrivals(&story).is_empty());
    assert_eq!(story.state.control(), behind_it.state.control());
}

#[test]
fn a_key_that_an_old_entry_brought_in_stays_and_none_comes_after_it() {
    let story = Script::founded_by("ann");
    let mut set = Updated::of(story, WALL_MS);
    let junk = vec![1; 300];
    let begin = C::TenureBegan { member: set.story.id("ann"), rsa_public: junk.clone() };
    let signed = format_2::tenure_statement(CLUSTER, set.story.id("ann"), &junk);
    let proposal = set.story.proposal(set.story.id("ann"), Command::Control(begin));
    let issue = proposal.issue.map(|issue| Issue { signature: sign("ann", &signed), ..issue });
    let old = Proposal { stamp: Stamp::Wall(WALL_MS), issue, ..proposal };
    assert_eq!(why(&set.story.propose(&old)), None);
    // The directory opens again, and what was recorded is replaced by its owner.
    let mut again = Script::founded_by("ann");
    again.state.restore(&set.story.state.snapshot()).expect("a state");
    assert_eq!(again.state.control().tenure().map(|tenure| &tenure.rsa_public), Some(&junk));
    let stamp = Stamp::Elapsed { elapsed_ms: 1_000, wall_ms: WALL_MS };
    let rotate = |rsa_public| C::RotateKey { member: MemberId(1), rsa_public };
    assert!(matches!(stamped(&mut again, stamp, rotate(junk)), Some(Rejection::Invalid(_))));
    assert_eq!(stamped(&mut again, stamp, rotate(rsa_key(b"new"))), None);
}

#[test]
fn two_voters_of_the_version_before_stay_until_the_leader_makes_their_number_odd() {
    let mut story = Script::founded_by("ann");
    let ids = ["bob", "eve"].map(|name| story.joins(name, Agent));
    let mut set = Updated::of(story, WALL_MS);
    let seats =
        |give: &[MemberId], take: &[MemberId]| C::SeatChanged { give: give.into(), take: take.into() };
    let votes = |set: &Updated| set.story.state.control().desired_voters().len();
    assert_eq!(stamped(&mut set.story, Stamp::Wall(WALL_MS), seats(&ids[..1], &[])), None);
    assert_eq!((votes(&set), set.story.state.broken_invariant()), (2, None));
    // It is read again as it is, and stays so with the first entry of today.
    let mut again = Script::founded_by("ann");
    again.state.restore(&set.story.state.snapshot()).expect("a state");
    let mut set = Updated { story: again };
    let now = Stamp::Elapsed { elapsed_ms: 1_000, wall_ms: WALL_MS };
    assert_eq!(stamped(&mut set.story, now, C::SessionOpened), None);
    assert_eq!((votes(&set), set.story.state.broken_invariant()), (2, None));
    assert_eq!(stamped(&mut set.story, now, seats(&ids[1..], &[])), None);
    assert_eq!((votes(&set), set.story.state.broken_invariant()), (3, None));
    let even = stamped(&mut set.story, now, seats(&[], &ids[1..]));
    assert!(matches!(even, Some(Rejection::Invalid(why)) if why.contains("odd number")));
}
