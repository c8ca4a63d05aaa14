//! Envelopes and snapshots on their way out: two at a time to each member, on a connection of their own.

use super::bulk_connection::{UNUSED_FOR, User};
use super::counters::DropReason;
use super::dial::{Manner, dial};
use super::link::Way;
use super::tls::Lane;
use super::turns::{self, Turn};
use super::units::{read_head, write_head};
use super::{Close, Inner, pace, within};
use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};
use rafty_types::{Digest, Message};
use rafty_wire::{BulkHead, BulkReply, MAX_BULK_LEN, MAX_CHUNK_LEN, MAX_SNAPSHOT_LEN};
use smol::channel::{Receiver, Sender, bounded};
use smol::future;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Bytes handed to the stream at once.
const SLICE: usize = 256 * 1024;
/// From so many bytes on an envelope goes on where it broke; asking how much is there costs a round trip.
const LONG: u64 = 64 * 1024;
/// Below everything else on its connection.
const PRIORITY: i32 = -1;

/// Where an envelope's ciphertext is.
#[derive(Clone, Debug)]
pub enum BulkBody {
    /// In memory; shared by all it is sent to.
    Bytes(Arc<[u8]>),
    /// In a file that stays as it is until the item is delivered.
    File(PathBuf),
}

/// Tells what became of a bulk item. An item is given up when this is dropped.
#[derive(Debug)]
pub struct Delivery {
    taken: Receiver<bool>,
    /// Closed with it.
    _wanted: Sender<()>,
}

impl Delivery {
    /// True when the receiver has it whole and its event is out; false when it was refused, or the way to it was lost
    /// (it may have it all the same).
    pub async fn taken(self) -> bool {
        self.taken.recv().await.unwrap_or(false)
    }

    /// That of an item that was not even queued.
    pub(super) fn failed() -> Self {
        Self { taken: bounded(1).1, _wanted: bounded(1).0 }
    }
}

/// What is sent.
pub(super) enum Item {
    Envelope { header: Vec<u8>, body: BulkBody },
    Snapshot { message: Box<Message>, data: Arc<[u8]> },
}

/// An item, and who wants to know. Dropped unserved, it tells that it failed.
pub(super) struct Order {
    item: Item,
    taken: Sender<bool>,
    wanted: Receiver<()>,
}

impl Order {
    pub(super) fn new(item: Item) -> (Self, Delivery) {
        let ((taken, told), (_wanted, wanted)) = (bounded(1), bounded(1));
        (Self { item, taken, wanted }, Delivery { taken: told, _wanted })
    }
}

/// Sends one order after the other to one member.
pub(super) async fn serve(net: Arc<Inner>, way: Arc<Way>, orders: Receiver<Order>) {
    while let Some(Order { item, taken, wanted }) = next(&way, &orders).await {
        let unwanted = async {
            // Nothing is ever sent over it.
            let _ = wanted.recv().await;
            None
        };
        let sent = future::or(unwanted, deliver(&net, &way, &item)).await.is_some();
        let _ = taken.try_send(sent);
    }
}

async fn next(way: &Way, orders: &Receiver<Order>) -> Option<Order> {
    if let Some(soon) = within(UNUSED_FOR, orders.recv()).await {
        return soon.ok();
    }
    way.bulk.close_unused().await;
    orders.recv().await.ok()
}

/// `Some` when the receiver took it. Dials first: who does not answer shall not have a turn meanwhile. A connection may
/// end while its turn is waited for. One that is found to be slow begins anew, by itself, and goes on where it was.
async fn deliver(net: &Inner, way: &Way, item: &Item) -> Option<()> {
    let user = way.bulk.user();
    for _ in 0..2 {
        connection(net, way, &user).await?;
        let (own, all) =
            turns::alone(net.is_slow(way.slow()), &way.narrow, net.is_on_a_slow_network(), &net.narrow).await;
        let permit = net.outbound_bulk.acquire().await;
        let connection = connection(net, way, &user).await?;
        let alone = own.is_some();
        let (began, mut turn) = (Instant::now(), Turn::new(&net.outbound_bulk, permit, &connection));
        let found_slow = async {
            let moved = || {
                let stats = connection.stats();
                (stats.udp_tx.bytes, stats.udp_rx.datagrams)
            };
            pace::becomes_slow(moved).await;
            way.note_slow();
            if alone {
                future::pending::<()>().await;
            }
            None
        };
        let found_slow = future::or(found_slow, turns::for_a_while(all));
        let sent = future::or(async { Some(send(&mut turn, &connection, item).await) }, found_slow).await;
        if let Some(sent) = sent {
            way.note_transfer(sent?, began.elapsed());
            return Some(());
        }
    }
    None
}

/// The bulk connection to the member, dialled if there is none.
async fn connection(net: &Inner, way: &Way, user: &User<'_>) -> Option<Connection> {
    let dialled = async {
        let manner = Manner::after(1, net.is_slow(way.slow()), way.round_trip());
        dial(net, way.key, Lane::Bulk, &way.candidates(), manner).await
    };
    let connection = user.connection(dialled).await;
    if connection.is_none() {
        net.counters.count(DropReason::NotConnected);
    }
    connection
}

/// Gives how many bytes went.
async fn send(turn: &mut Turn<'_>, connection: &Connection, item: &Item) -> Option<u64> {
    match item {
        Item::Envelope { header, body } => {
            send_envelope(turn, connection, header.clone(), body.clone()).await
        }
        Item::Snapshot { message, data } => send_snapshot(turn, connection, message, data.clone()).await,
    }
}

async fn send_envelope(
    turn: &mut Turn<'_>,
    connection: &Connection,
    header: Vec<u8>,
    body: BulkBody,
) -> Option<u64> {
    match body {
        BulkBody::Bytes(bytes) => {
            let (mut stream, arrived) = begin(turn, connection, header, bytes.len() as u64).await?;
            let rest = Bytes::from_owner(bytes).split_off(usize::try_from(arrived).ok()?);
            let sent = rest.len() as u64;
            stream.write(rest).await?;
            stream.finish().await?;
            Some(sent)
        }
        BulkBody::File(path) => {
            let mut file = smol::unblock(move || File::open(path)).await.ok()?;
            let body_len = file.metadata().ok()?.len();
            if body_len > MAX_BULK_LEN {
                return None;
            }
            let (mut stream, arrived) = begin(turn, connection, header, body_len).await?;
            file.seek(SeekFrom::Start(arrived)).ok()?;
            let mut left = usize::try_from(body_len - arrived).ok()?;
            let mut next = (left > 0).then(|| smol::unblock(move || read_slice(file, left)));
            while let Some(read) = next {
                let (file, slice) = read.await.ok()?;
                left -= slice.len();
                // The next slice is read while this one goes.
                next = (left > 0).then(|| smol::unblock(move || read_slice(file, left)));
                stream.write(Bytes::from(slice)).await?;
            }
            stream.finish().await?;
            Some(body_len - arrived)
        }
    }
}

/// A stream for the envelope, and how many bytes of it the receiver has already.
async fn begin<'a, 'b>(
    turn: &'a mut Turn<'b>,
    connection: &Connection,
    header: Vec<u8>,
    body_len: u64,
) -> Option<(Stream<'a, 'b>, u64)> {
    if body_len < LONG {
        let stream = Stream::open(turn, connection, &BulkHead::Envelope { header, body_len }).await?;
        return Some((stream, 0));
    }
    let mut stream = Stream::open(turn, connection, &BulkHead::LongEnvelope { header, body_len }).await?;
    // Whoever is on a slow network takes one after the other.
    match stream.said_within(body_len).await? {
        BulkReply::TakenUpTo(arrived) if arrived <= body_len => Some((stream, arrived)),
        _ => None,
    }
}

/// The next [`SLICE`] bytes of the file, or as many as are `left`.
fn read_slice(mut file: File, left: usize) -> io::Result<(File, Vec<u8>)> {
    let mut slice = vec![0; left.min(SLICE)];
    file.read_exact(&mut slice)?;
    Ok((file, slice))
}

/// One chunk after the other, each answered: a receiver that restarts or refuses is noticed at the next one. What
/// arrived before an earlier break is not sent again.
async fn send_snapshot(
    turn: &mut Turn<'_>,
    connection: &Connection,
    message: &Message,
    data: Arc<[u8]>,
) -> Option<u64> {
    let total = data.len() as u64;
    if total > MAX_SNAPSHOT_LEN {
        return None;
    }
    let hashed = data.clone();
    let digest = smol::unblock(move || Digest::of(&hashed)).await;
    let data = Bytes::from_owner(data);
    let head = |offset, len| {
        let message = Box::new(message.clone());
        BulkHead::SnapshotChunk { message, offset, len, total, digest }
    };
    let mut began_at = 0;
    if total > MAX_CHUNK_LEN {
        let asked = Stream::open(turn, connection, &head(0, 0)).await?.reply().await?;
        let BulkReply::TakenUpTo(arrived) = asked else { return None };
        // The last byte completes it: a receiver that says it has all would have no use for it.
        began_at = arrived.min(total - 1);
    }
    let mut offset = began_at;
    loop {
        let len = MAX_CHUNK_LEN.min(total - offset);
        let mut stream = Stream::open(turn, connection, &head(offset, len)).await?;
        let (start, end) = (usize::try_from(offset).ok()?, usize::try_from(offset + len).ok()?);
        stream.write(data.slice(start..end)).await?;
        stream.finish().await?;
        offset += len;
        if offset == total {
            return Some(total - began_at);
        }
    }
}

/// One bulk stream. Dropped before the last answer it is reset: the receiver shall not take half for whole, and what waits to be
/// sent is of no use.
struct Stream<'a, 'b> {
    turn: &'a mut Turn<'b>,
    send: SendStream,
    receive: RecvStream,
    /// Bytes written; all of them may still be under way.
    written: u64,
    answered: bool,
}

impl<'a, 'b> Stream<'a, 'b> {
    async fn open(turn: &'a mut Turn<'b>, connection: &Connection, head: &BulkHead) -> Option<Self> {
        let (send, receive) = turn.step(connection.open_bi()).await?.ok()?;
        let mut stream = Self { turn, send, receive, written: 0, answered: false };
        let _ = stream.send.set_priority(PRIORITY);
        stream.turn.step(write_head(&mut stream.send, head)).await?.ok()?;
        Some(stream)
    }

    async fn write(&mut self, mut bytes: Bytes) -> Option<()> {
        while !bytes.is_empty() {
            let slice = bytes.split_to(bytes.len().min(SLICE));
            self.written += slice.len() as u64;
            self.turn.step_of(self.written, self.send.write_chunk(slice)).await?.ok()?;
        }
        Some(())
    }

    /// `Some` when the receiver says that it took it.
    async fn finish(self) -> Option<()> {
        (self.reply().await? == BulkReply::Accepted).then_some(())
    }

    /// Ends what is sent, and waits for the receiver's word.
    async fn reply(mut self) -> Option<BulkReply> {
        self.send.finish().ok()?;
        let said = self.said().await;
        self.answered = said.is_some();
        said
    }

    /// The receiver's next word.
    async fn said(&mut self) -> Option<BulkReply> {
        self.said_within(self.written).await
    }

    /// The same, waited for as long as so many bytes may take.
    async fn said_within(&mut self, bytes: u64) -> Option<BulkReply> {
        self.turn.step_of(bytes, read_head::<BulkReply>(&mut self.receive)).await?.ok()
    }
}

impl Drop for Stream<'_, '_> {
    fn drop(&mut self) {
        if !self.answered {
            let _ = self.send.reset(Close::Done.code());
        }
    }
}
