//! Envelopes and snapshots on their way in: to the spool as they come.

use super::counters::DropReason;
use super::parts::{Part, RESUME_WITHIN};
use super::snapshots::{Added, Partial, is_chunk};
use super::turns::{self, STALLED, Turn};
use super::units::{read_head, write_head};
use super::{Inner, NetEvent, pace, within};
use quinn::{Connection, RecvStream, SendStream};
use rafty_rounds::Arrival;
use rafty_types::{Digest, MemberId, Message, MessageKind, PeerKey};
use rafty_wire::{BulkHead, BulkReply};
use smol::{Timer, future};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;

/// Bytes taken from the stream at once.
const SLICE: usize = 256 * 1024;

/// Reads bulk streams until the connection is over. How many at once is what it was granted.
pub(super) async fn serve(net: &Arc<Inner>, key: PeerKey, connection: &Connection) {
    while let Ok((send, receive)) = connection.accept_bi().await {
        net.spawn(take(net.clone(), key, connection.clone(), send, receive));
    }
}

async fn take(
    net: Arc<Inner>,
    key: PeerKey,
    connection: Connection,
    mut send: SendStream,
    mut receive: RecvStream,
) {
    let slow = net.is_on_a_slow_network();
    let alone = if slow { Some(net.inbound.narrow.acquire().await) } else { None };
    let permit = net.inbound.bulk.acquire().await;
    let mut turn = Turn::new(&net.inbound.bulk, permit, &connection);
    let watched = async {
        let moved = || {
            let stats = connection.stats().udp_rx;
            (stats.bytes, stats.datagrams)
        };
        pace::becomes_slow(moved).await;
        note_slow(&net, key);
        future::pending().await
    };
    let watched = future::or(watched, turns::for_a_while(alone));
    let reply = match future::or(read(&net, &mut turn, key, &mut send, &mut receive), watched).await {
        Some(reply) => reply,
        None => {
            net.counters.count(DropReason::BulkRefused);
            BulkReply::Refused
        }
    };
    drop(turn);
    let _ = within(STALLED, write_head(&mut send, &reply)).await;
    let _ = send.finish();
}

fn note_slow(net: &Inner, key: PeerKey) {
    let Some(from) = net.roster.member(key) else { return };
    if let Some(link) = net.links().get(&from) {
        link.note_slow();
    }
}

/// `Some` when the item is whole and was taken, or the question is answered.
async fn read(
    net: &Arc<Inner>,
    turn: &mut Turn<'_>,
    key: PeerKey,
    send: &mut SendStream,
    stream: &mut RecvStream,
) -> Option<BulkReply> {
    let head: BulkHead = turn.step(read_head(stream)).await?.ok()?;
    let from = net.roster.member(key)?;
    match head {
        BulkHead::Envelope { header, body_len } => {
            wanted(net, from, &header, body_len).await?;
            let mut part = spool(net, from, body_len).await?;
            fill(net, turn, stream, (from, &mut part)).await?;
            hand_on(net, from, header, part).await?;
        }
        BulkHead::LongEnvelope { header, body_len } => {
            let name = Digest::of(&header);
            let there = net.inbound.parts.take(key, name, body_len);
            let mut part = match there {
                Some(part) => part,
                None => {
                    wanted(net, from, &header, body_len).await?;
                    spool(net, from, body_len).await?
                }
            };
            turn.step(write_head(send, &BulkReply::TakenUpTo(part.arrived))).await?.ok()?;
            arrival(net, from, &header, Arrival::Begins);
            if fill(net, turn, stream, (from, &mut part)).await.is_none() {
                keep_for_a_while(net, key, name, part);
                arrival(net, from, &header, Arrival::Breaks);
                return None;
            }
            hand_on(net, from, header, part).await?;
        }
        BulkHead::SnapshotChunk { message, offset, len, total, digest } => {
            if !is_snapshot(&message, from, net.roster.me()) {
                net.counters.count(DropReason::WrongSender);
                return None;
            }
            if !net.inbound.follows(from) {
                net.counters.count(DropReason::NotLeader);
                return None;
            }
            if len == 0 && total > 0 {
                return Some(BulkReply::TakenUpTo(net.inbound.snapshots.arrived(key, digest, total)));
            }
            if !is_chunk(total, offset, len) {
                return None;
            }
            let chunk = read_chunk(turn, stream, len).await?;
            let before = net.inbound.snapshots.take(key, digest, total, offset);
            let partial = match (before, offset) {
                (Some(partial), 1..) => partial,
                (_, 0) => Partial::new(key, digest, spool(net, from, total).await?),
                _ => return None,
            };
            match or_said(net, from, smol::unblock(move || partial.add(&chunk)).await)? {
                Added::Part(partial) => net.inbound.snapshots.keep(partial),
                Added::Whole(data) => {
                    net.other.send(NetEvent::Snapshot { from, message: *message, data }).await.ok()?;
                }
                Added::Damaged => return None,
            }
        }
    }
    Some(BulkReply::Accepted)
}

fn is_snapshot(message: &Message, from: MemberId, me: MemberId) -> bool {
    message.kind == MessageKind::Snapshot
        && message.snapshot.is_some()
        && message.from == from
        && message.to == me
}

/// Judges an envelope by its head. One without a body costs nothing.
async fn wanted(net: &Inner, from: MemberId, header: &[u8], len: u64) -> Option<()> {
    let (spool, header) = (net.spool.clone(), header.to_vec());
    let wanted = len == 0 || smol::unblock(move || spool.wants(from, &header, len)).await;
    if !wanted {
        net.counters.count(DropReason::Unwanted);
    }
    wanted.then_some(())
}

/// An envelope that is whole.
async fn hand_on(net: &Inner, from: MemberId, header: Vec<u8>, part: Part) -> Option<()> {
    let (handle, len) = (part.handle(), part.arrived);
    net.other.send(NetEvent::Envelope { from, header, handle, len }).await.ok()?;
    part.hand_over();
    Some(())
}

/// Says what becomes of an envelope before it is whole. While the loop is behind, it need not hear of that.
fn arrival(net: &Inner, from: MemberId, header: &[u8], arrival: Arrival) {
    let _ = net.other.try_send(NetEvent::Arrival { from, header: header.to_vec(), arrival });
}

/// What has arrived of an envelope waits for its sender to come back with the rest.
fn keep_for_a_while(net: &Arc<Inner>, key: PeerKey, name: Digest, part: Part) {
    if part.arrived == 0 {
        return;
    }
    net.inbound.parts.keep(key, name, part, Instant::now());
    let later = net.clone();
    net.spawn(async move {
        Timer::after(RESUME_WITHIN).await;
        later.inbound.parts.forget_old(Instant::now());
    });
}

/// A new spool file for `len` bytes. Parts of envelopes that may never become whole make room for it.
async fn spool(net: &Inner, from: MemberId, len: u64) -> Option<Part> {
    let create = || {
        let spool = net.spool.clone();
        smol::unblock(move || spool.create(len))
    };
    let mut created = create().await;
    if created.is_err() && net.inbound.parts.forget_all() {
        created = create().await;
    }
    let (handle, file) = or_said(net, from, created)?;
    Some(Part::new(net.spool.clone(), handle, file, len))
}

/// Writes what comes of `stream` behind what has arrived, exactly up to its end: one slice is written while the next one
/// comes.
async fn fill(
    net: &Inner,
    turn: &mut Turn<'_>,
    stream: &mut RecvStream,
    (from, part): (MemberId, &mut Part),
) -> Option<()> {
    let (began, had) = (Instant::now(), part.arrived);
    let mut read = had;
    let mut written = None;
    loop {
        let slice = read_slice(turn, stream, part.total - read).await;
        if let Some(task) = written.take() {
            or_said(net, from, task.await)?;
            part.arrived = read;
        }
        let slice = slice?;
        if slice.is_empty() {
            if let Some(link) = net.links().get(&from) {
                link.note_transfer(read - had, began.elapsed());
            }
            return (read == part.total).then_some(());
        }
        let (file, at) = (part.file.clone(), read);
        read += slice.len() as u64;
        if read > part.total {
            return None;
        }
        written = Some(smol::unblock(move || file.write_all_at(&slice, at)));
    }
}

/// Whoever looks at this member learns why nothing that is sent to it arrives.
fn or_said<T>(net: &Inner, from: MemberId, written: io::Result<T>) -> Option<T> {
    let told = |error: &io::Error| {
        // While the loop is behind, the next one that fails says it.
        let _ = net.other.try_send(NetEvent::NotSpooled { from, why: error.to_string() });
    };
    written.inspect_err(told).ok()
}

/// Exactly `len` bytes, which the head's bound has made few.
async fn read_chunk(turn: &mut Turn<'_>, stream: &mut RecvStream, len: u64) -> Option<Vec<u8>> {
    let len = usize::try_from(len).ok()?;
    let mut chunk = vec![];
    loop {
        let slice = read_slice(turn, stream, (len - chunk.len()) as u64).await?;
        if slice.is_empty() {
            return (chunk.len() == len).then_some(chunk);
        }
        if chunk.len() + slice.len() > len {
            return None;
        }
        chunk.extend_from_slice(&slice);
    }
}

/// The next [`SLICE`] bytes; fewer before the end or a break, none at the end; `None` when none come any more. When none
/// should be `left`, there is room for one, to see that none comes.
async fn read_slice(turn: &mut Turn<'_>, stream: &mut RecvStream, left: u64) -> Option<Vec<u8>> {
    let mut slice = vec![0; left.clamp(1, SLICE as u64) as usize];
    let (room, mut len, mut is_at_end) = (slice.len(), 0, false);
    // One step for all of it: a sender of a byte now and then would keep a turn for ever.
    let filled = async {
        while len < room && !is_at_end {
            match within(STALLED, stream.read(&mut slice[len..])).await {
                Some(Ok(Some(more))) => len += more,
                Some(Ok(None)) => is_at_end = true,
                Some(Err(_)) | None => break,
            }
        }
    };
    turn.step_of(room as u64, filled).await;
    slice.truncate(len);
    (len > 0 || is_at_end).then_some(slice)
}
