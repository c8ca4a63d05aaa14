//! Envelopes and snapshots on their way in: envelopes to the spool as they come, snapshots chunk by chunk to memory.

use super::counters::DropReason;
use super::snapshots::Added;
use super::turns::{STALLED, Turn};
use super::units::{read_head, write_head};
use super::{Inner, NetEvent, Spool, within};
use quinn::{Connection, RecvStream, SendStream};
use rafty_types::{MemberId, Message, MessageKind, PeerKey};
use rafty_wire::{BulkHead, BulkReply};
use std::io::{self, Write};
use std::sync::Arc;

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
    let permit = net.inbound.bulk.acquire().await;
    let mut turn = Turn::new(&net.inbound.bulk, permit, &connection);
    let reply = match read(&net, &mut turn, key, &mut receive).await {
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

/// `Some` when the item is whole and was taken, or the question is answered.
async fn read(
    net: &Arc<Inner>,
    turn: &mut Turn<'_>,
    key: PeerKey,
    stream: &mut RecvStream,
) -> Option<BulkReply> {
    let head: BulkHead = turn.step(read_head(stream)).await?.ok()?;
    let from = net.roster.member(key)?;
    match head {
        BulkHead::Envelope { header, body_len } => {
            let spooled = spool(net, turn, stream, (from, body_len)).await?;
            let handle = spooled.handle;
            net.other.send(NetEvent::Envelope { from, header, handle, len: body_len }).await.ok()?;
            spooled.keep();
        }
        BulkHead::SnapshotChunk { message, offset, len, total, digest } => {
            if !is_snapshot(&message, from, net.roster.me()) {
                net.counters.count(DropReason::WrongSender);
                return None;
            }
            if len == 0 && total > 0 {
                return Some(BulkReply::TakenUpTo(net.inbound.snapshots.arrived(key, digest, total)));
            }
            let chunk = read_chunk(turn, stream, len).await?;
            if let Added::Whole(data) = net.inbound.snapshots.add(key, digest, total, offset, &chunk)? {
                let data = smol::unblock(move || Arc::from(data)).await;
                net.other.send(NetEvent::Snapshot { from, message: *message, data }).await.ok()?;
            }
        }
    }
    Some(BulkReply::Taken)
}

fn is_snapshot(message: &Message, from: MemberId, me: MemberId) -> bool {
    message.kind == MessageKind::Snapshot
        && message.snapshot.is_some()
        && message.from == from
        && message.to == me
}

/// A spool file; discarded unless it is kept.
struct Spooled {
    spool: Arc<dyn Spool>,
    handle: u64,
    kept: bool,
}

impl Spooled {
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if !self.kept {
            let (spool, handle) = (self.spool.clone(), self.handle);
            smol::unblock(move || spool.discard(handle)).detach();
        }
    }
}

/// Writes exactly `len` bytes of `stream` to a new spool file: one slice is written while the next one comes.
async fn spool(
    net: &Inner,
    turn: &mut Turn<'_>,
    stream: &mut RecvStream,
    (from, len): (MemberId, u64),
) -> Option<Spooled> {
    let spool = net.spool.clone();
    let created = smol::unblock(move || spool.create(len)).await;
    let (handle, mut file) = or_said(net, from, created)?;
    let spooled = Spooled { spool: net.spool.clone(), handle, kept: false };
    let mut left = len;
    let mut written = smol::unblock(|| Ok(file));
    loop {
        let slice = read_slice(turn, stream, left).await?;
        file = or_said(net, from, written.await)?;
        if slice.is_empty() {
            return (left == 0).then_some(spooled);
        }
        left = left.checked_sub(slice.len() as u64)?;
        written = smol::unblock(move || file.write_all(&slice).map(|()| file));
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

/// The next [`SLICE`] bytes, fewer before the end, none at the end; `None` when they do not come. When none should be
/// `left`, there is room for one, to see that none comes.
async fn read_slice(turn: &mut Turn<'_>, stream: &mut RecvStream, left: u64) -> Option<Vec<u8>> {
    let mut slice = vec![0; left.clamp(1, SLICE as u64) as usize];
    let mut len = 0;
    while len < slice.len() {
        match turn.step(stream.read(&mut slice[len..])).await?.ok()? {
            Some(more) => len += more,
            None => break,
        }
    }
    slice.truncate(len);
    Some(slice)
}
