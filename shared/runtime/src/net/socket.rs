//! The UDP socket under QUIC.
//!
//! Sends at once, and asks the reactor for room only after the system had none: asking first, as quinn's own socket
//! does, holds every datagram back for a turn of the reactor's loop. It decides nothing about what is sent.

use crate::deadline_timer::DeadlineTimer;
use async_io::{Async, WritableOwned};
use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncTimer, AsyncUdpSocket, UdpPoller};
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Socket {
    io: Arc<Async<UdpSocket>>,
    state: UdpSocketState,
    /// Whether the system had no room for the last datagram.
    full: AtomicBool,
}

impl Socket {
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { io: Arc::new(Async::new_nonblocking(socket)?), state, full: AtomicBool::new(false) })
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Room { socket: self, awaited: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.state.send((&*self.io).into(), transmit).inspect_err(|error| {
            if error.kind() == io::ErrorKind::WouldBlock {
                self.full.store(true, Ordering::Relaxed);
            }
        })
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_readable(context))?;
            // What the system says of datagrams that did not get anywhere is no end of the socket.
            if let Ok(received) = self.state.recv((&*self.io).into(), buffers, meta) {
                return Poll::Ready(Ok(received));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// One connection's wait for room in the socket.
#[derive(Debug)]
struct Room {
    socket: Arc<Socket>,
    awaited: Option<WritableOwned<UdpSocket>>,
}

impl UdpPoller for Room {
    fn poll_writable(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.socket.full.load(Ordering::Relaxed) {
            self.awaited = None;
            return Poll::Ready(Ok(()));
        }
        let io = self.socket.io.clone();
        let awaited = self.awaited.get_or_insert_with(|| io.writable_owned());
        let there_is = ready!(Pin::new(awaited).poll(context));
        self.awaited = None;
        self.socket.full.store(false, Ordering::Relaxed);
        Poll::Ready(there_is)
    }
}

/// A timer of one connection.
#[derive(Debug)]
pub(super) struct ConnectionTimer {
    timer: DeadlineTimer,
    due: Instant,
}

impl ConnectionTimer {
    pub(super) fn at(due: Instant) -> Self {
        Self { timer: DeadlineTimer::default(), due }
    }
}

impl AsyncTimer for ConnectionTimer {
    fn reset(mut self: Pin<&mut Self>, due: Instant) {
        self.due = due;
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let due = self.due;
        self.timer.poll_at(due, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::future::{block_on, poll_fn};

    #[test]
    fn who_waits_for_a_full_socket_is_woken_and_then_all_may_send() {
        let socket = Arc::new(Socket::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap());
        let mut rooms = [socket.clone().create_io_poller(), socket.clone().create_io_poller()];
        block_on(poll_fn(|context| {
            assert!(rooms.iter_mut().all(|room| room.as_mut().poll_writable(context).is_ready()));
            socket.full.store(true, Ordering::Relaxed);
            assert!(rooms.iter_mut().all(|room| room.as_mut().poll_writable(context).is_pending()));
            Poll::Ready(())
        }));
        block_on(poll_fn(|context| rooms[1].as_mut().poll_writable(context))).unwrap();
        block_on(poll_fn(|context| rooms[0].as_mut().poll_writable(context))).unwrap();
        assert!(!socket.full.load(Ordering::Relaxed));
    }
}
