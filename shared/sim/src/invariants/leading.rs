//! What a leader puts into its log, whatever others would like.

use crate::member::Process;
use rafty_consensus::Role;
use rafty_dictionary::leader_only;
use rafty_types::{Command, ControlCommand, Entry, MemberId, Payload, Proposal};

/// A leader's own commands are nobody else's, and seats go to members that have the log.
pub fn duties_are_the_leaders(id: MemberId, process: &Process, entries: &[Entry]) {
    let consensus = process.node.consensus();
    if consensus.role() != Role::Leader {
        return;
    }
    for entry in entries.iter().filter(|entry| entry.term == consensus.term()) {
        let Payload::Command(bytes) = &entry.payload else { continue };
        let Some(Proposal { origin, command: Command::Control(command), .. }) = Proposal::decode(bytes, 1)
        else {
            continue;
        };
        assert!(
            origin == id || !leader_only(&command),
            "duties are the leader's: {id} proposes for {origin}: {command:?}"
        );
        if let ControlCommand::SeatChanged { give, .. } = command {
            give.iter().for_each(|member| has_the_log(id, process, *member, entries.len() as u64));
        }
    }
}

/// `together` entries were appended with the seat, maybe after it was given.
fn has_the_log(leader: MemberId, process: &Process, member: MemberId, together: u64) {
    let consensus = process.node.consensus();
    let known = consensus.progress().into_iter().find(|progress| progress.member == member);
    let behind = u64::from(process.node.state().control().settings().append_batch) + together;
    let has = known.as_ref().is_some_and(|progress| {
        // The rest may have been committed in the same step, after the seat was given.
        let near = progress.matched >= process.seen.commit
            || progress.matched.0 + behind >= consensus.last_index().0;
        progress.matched.0 > 0 && near
    });
    assert!(has, "seats go to those that have the log: {leader} gives {member} one, which has {known:?}");
}
