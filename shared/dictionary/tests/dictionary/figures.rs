//! What applying costs. Run with `cargo test -p rafty-dictionary --release figures -- --ignored --nocapture`.

use crate::script::*;
use rafty_dictionary::{Entries, KEPT_ROUNDS, MAX_VALUE_LEN, Replicated};
use rafty_types::MemberKind::Agent;
use rafty_types::*;
use std::time::Instant;

fn log_of(story: &Script, count: u64, value: &[u8]) -> Vec<Entry> {
    let entry = |n: u64| {
        let proposal = story.proposal(MemberId(1), set(&format!("key {}", n % 1_000), value));
        let bytes = proposal.encode();
        Entry { index: Index(n), term: story.term, payload: Payload::Command(bytes.into()) }
    };
    let first = story.state.applied().next().0;
    (first..first + count).map(entry).collect()
}

#[test]
#[ignore = "prints figures, asserts nothing"]
fn figures() {
    for (count, len) in [(100_000, 100), (60, MAX_VALUE_LEN)] {
        let mut story = Script::founded_by("ann");
        let log = log_of(&story, count, &vec![7; len]);
        let begin = Instant::now();
        log.iter().for_each(|entry| drop(story.state.apply(entry)));
        println!("apply {count} sets of {len} bytes: {:?} each", begin.elapsed() / count as u32);
        let begin = Instant::now();
        let snapshot = story.state.snapshot();
        println!("  snapshot of {} bytes: {:?}", snapshot.len(), begin.elapsed());
        let begin = Instant::now();
        Replicated::new(Entries::default()).restore(&snapshot).unwrap();
        println!("  restore: {:?}", begin.elapsed());
    }
    let mut story = Script::founded_by("ann");
    for name in ["bob", "cid", "dan", "eve", "fay"] {
        story.joins(name, Agent);
    }
    story.submits("ann", 100_000);
    story.leads("ann");
    let begin = Instant::now();
    for n in 0..KEPT_ROUNDS {
        story.round_by("ann", &n.to_string());
    }
    println!("a round of three commands: {:?}", begin.elapsed() / KEPT_ROUNDS as u32);
    let begin = Instant::now();
    let snapshot = story.state.snapshot();
    println!("snapshot with {KEPT_ROUNDS} rounds on record: {} bytes, {:?}", snapshot.len(), begin.elapsed());
    let begin = Instant::now();
    story.state.digest();
    println!("its digest: {:?}", begin.elapsed());
}
