//! Frames that wait for the control stream of one member.

use bytes::Bytes;
use smol::channel::{Receiver, Sender, bounded};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Most frames that wait.
const MAX_FRAMES: usize = 256;
/// Most bytes that wait, apart from one frame that alone is longer.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// A bounded queue whose oldest frames give way to new ones.
#[derive(Debug)]
pub(super) struct FrameQueue {
    waiting: Mutex<Waiting>,
    ring: Sender<()>,
    rung: Receiver<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl Waiting {
    fn pop(&mut self) -> Option<Bytes> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }
}

impl FrameQueue {
    /// An empty queue.
    pub(super) fn new() -> Self {
        let (ring, rung) = bounded(1);
        Self { waiting: Mutex::default(), ring, rung }
    }

    /// Appends `frame`; answers how many older ones had to go.
    pub(super) fn push(&self, frame: Bytes) -> u64 {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dropped = 0;
        while waiting.frames.len() >= MAX_FRAMES || waiting.bytes + frame.len() > MAX_BYTES {
            match waiting.pop() {
                Some(_) => dropped += 1,
                None => break,
            }
        }
        waiting.bytes += frame.len();
        waiting.frames.push_back(frame);
        drop(waiting);
        let _ = self.ring.try_send(());
        dropped
    }

    /// The oldest frame, as soon as there is one. One caller at a time.
    pub(super) async fn pop(&self) -> Bytes {
        loop {
            if let Some(frame) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop() {
                return frame;
            }
            // The queue owns both ends, so the bell never closes.
            let _ = self.rung.recv().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_give_way_by_number_and_by_bytes() {
        let queue = FrameQueue::new();
        let dropped: u64 = (0..=MAX_FRAMES).map(|n| queue.push(Bytes::from(n.to_string()))).sum();
        assert_eq!(dropped, 1);
        assert_eq!(smol::block_on(queue.pop()), "1");
        assert_eq!(queue.push(Bytes::from(vec![0; MAX_BYTES])), MAX_FRAMES as u64 - 1);
        assert_eq!(smol::block_on(queue.pop()).len(), MAX_BYTES);
    }

    #[test]
    fn whoever_waits_is_woken() {
        let queue = FrameQueue::new();
        let woken = smol::future::zip(queue.pop(), async { queue.push(Bytes::from("a")) });
        assert_eq!(smol::block_on(woken), (Bytes::from("a"), 0));
    }
}
