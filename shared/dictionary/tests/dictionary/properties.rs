//! What holds for any history.

use crate::script::{Script, why};
use crate::walk::{Step, Walk};
use proptest::collection::vec;
use proptest::prelude::*;
use rafty_dictionary::{Entries, Event, Replicated};
use rafty_types::{Entry, Payload};

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    vec(any::<Step>(), 1..most)
}

fn replay(state: &mut Replicated<Entries>, log: &[Entry]) {
    for entry in log {
        state.apply(entry);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_refused_command_changes_neither_part(steps in steps(160)) {
        let mut walk = Walk::begin();
        for step in steps {
            let before = walk.story.state.clone();
            let applied = walk.step(step);
            let after = &walk.story.state;
            if why(&applied).is_some() {
                prop_assert_eq!(after.control(), before.control());
                prop_assert_eq!(after.user(), before.user());
                prop_assert!(applied.events.is_empty());
            }
            prop_assert_eq!(after.broken_invariant(), None);
        }
    }

    #[test]
    fn the_same_log_gives_the_same_digest_and_a_snapshot_stands_for_its_part(
        steps in steps(160),
        cut in any::<prop::sample::Index>(),
    ) {
        let founded = Script::founded_by("ann").state;
        let mut walk = Walk::begin();
        let answers: Vec<_> = steps.into_iter().map(|step| walk.step(step)).collect();
        let (log, digest) = (&walk.story.log, walk.story.state.digest());

        let mut second = founded.clone();
        for (entry, answer) in log.iter().zip(&answers) {
            prop_assert_eq!(&second.apply(entry), answer);
        }
        prop_assert_eq!(second.digest(), digest);

        let (front, rest) = log.split_at(cut.index(log.len()));
        let mut early = founded;
        replay(&mut early, front);
        let mut late = Replicated::new(Entries::default());
        late.restore(&early.snapshot()).unwrap();
        prop_assert_eq!(late.digest(), early.digest());
        prop_assert_eq!(late.snapshot(), early.snapshot());
        replay(&mut late, rest);
        prop_assert_eq!(late.digest(), digest);
    }

    #[test]
    fn a_damaged_snapshot_is_refused_or_sound_and_never_half_taken(
        steps in steps(80),
        rest in steps(40),
        place in any::<prop::sample::Index>(),
        bit in 0..8u32,
        cut in any::<bool>(),
    ) {
        let mut walk = Walk::begin();
        steps.into_iter().for_each(|step| drop(walk.step(step)));
        let mut bytes = walk.story.state.snapshot();
        let place = place.index(bytes.len());
        if cut {
            bytes.truncate(place);
        } else {
            bytes[place] ^= 1u8 << bit;
        }
        let mut state = Script::founded_by("bob").state;
        let before = state.digest();
        match state.restore(&bytes) {
            Err(_) => prop_assert_eq!(state.digest(), before),
            // The bytes may read as another sound state: then any history goes on from it.
            Ok(()) => {
                walk.story.state = state;
                rest.into_iter().for_each(|step| drop(walk.step(step)));
            }
        }
    }

    #[test]
    fn tenures_count_for_their_holder_and_a_newcomer_begins_where_whoever_served_least_is(steps in steps(160)) {
        let mut walk = Walk::begin();
        for step in steps {
            let before = walk.story.state.control().members().clone();
            let applied = walk.step(step);
            let began = applied.events.contains(&Event::TenureBegan);
            let may_lead = before.values().filter(|member| member.may_lead);
            let least = may_lead.map(|member| member.tenures).min().unwrap_or(0);
            for member in walk.story.state.control().members().values() {
                // Whoever lost its log is known by its key.
                let known = before.values().find(|known| known.key == member.key);
                let serves = u64::from(began && applied.origin == Some(member.id));
                prop_assert_eq!(member.tenures, known.map_or(least, |known| known.tenures + serves));
            }
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in vec(any::<u8>(), 0..300)) {
        let mut walk = Walk::begin();
        walk.story.append(Payload::Command(bytes.clone().into()));
        prop_assert!(walk.story.state.restore(&bytes).is_err());
    }
}
