//! The QUIC endpoint: our executor under it, and the bounds of its connections.

use super::socket::{ConnectionTimer, Socket};
use super::yielding::YieldingConfig;
use quinn::crypto::{CryptoError, HmacKey};
use quinn::udp::{UdpSockRef, UdpSocketState};
use quinn::{
    AsyncTimer, AsyncUdpSocket, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, Runtime,
    ServerConfig, TransportConfig, ValidationTokenConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use smol::Executor;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// After so long without a sign a peer connection is over. Raft notices a silent member far sooner.
pub(super) const PEER_IDLE: Duration = Duration::from_secs(3);
/// How often an idle peer connection is touched, so that it is there when it is needed.
const PEER_KEEP_ALIVE: Duration = Duration::from_secs(1);
/// After so long without a sign a bulk connection is over.
const BULK_IDLE: Duration = Duration::from_secs(10);
/// How often one is touched: who waits for a turn at the other end sends nothing for minutes.
const BULK_KEEP_ALIVE: Duration = Duration::from_secs(3);
/// Bulk streams of one member at once.
pub(super) const BULK_STREAMS: u32 = 2;
/// Datagrams that wait for the socket, in bytes: older ones give way, they would only arrive late.
const DATAGRAM_SEND_BUFFER: usize = 32 * 1024;
/// Datagrams that wait for us, in bytes.
const DATAGRAM_RECEIVE_BUFFER: usize = 256 * 1024;
/// Bytes of one stream that wait for us: 160 Mbit/s over 50 ms.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// Bytes of one connection that wait for us.
const CONNECTION_WINDOW: u32 = 2 * STREAM_WINDOW;
/// Bytes of one connection that are sent and not yet acknowledged.
const SEND_WINDOW: u64 = CONNECTION_WINDOW as u64;
/// The longest UDP payload that is tried on the way. Ten of them, which quinn hands over in one call, fit into the
/// 64 KiB that the system takes at once.
const LONGEST_PAYLOAD: u16 = 6_500;
/// Round trip assumed before one was measured: a lost first datagram is repeated after three times as long, as soon as a link of
/// 64 kbit/s can have carried it.
pub(super) const INITIAL_RTT: Duration = Duration::from_millis(50);
/// The same over a slow way; after three times as long a packet is repeated.
pub(super) const SLOW_INITIAL_RTT: Duration = Duration::from_millis(700);
/// After so long without a sign a connection over a slow way is over.
const SLOW_IDLE: Duration = Duration::from_secs(12);
/// Handshakes that nobody has looked at yet.
const MAX_INCOMING: usize = 64;
/// Bytes kept for those handshakes, each and together.
const INCOMING_BUFFER: u64 = 64 * 1024;
/// What we ask the system to keep for our socket, in each direction; it may grant less.
const SOCKET_BUFFER: usize = 2 * 1024 * 1024;

/// Quinn on an executor of ours. Held weakly: the executor owns the tasks, and with it they end.
#[derive(Debug)]
struct OnExecutor(Weak<Executor<'static>>);

impl Runtime for OnExecutor {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(ConnectionTimer::at(at))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        if let Some(executor) = self.0.upgrade() {
            executor.spawn(future).detach();
        }
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(Socket::new(socket)?))
    }
}

/// Signs stateless resets: derived from the identity, so that after a restart the peer can still tell others that it
/// has forgotten their connections, and they dial anew at once.
struct ResetKey([u8; 32]);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        signature.copy_from_slice(blake3::keyed_hash(&self.0, data).as_bytes());
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        // Comparing two hashes takes the same time whatever they are.
        let expected = blake3::keyed_hash(&self.0, data);
        signature.try_into().ok().filter(|given: &[u8; 32]| expected == *given).map(|_| ()).ok_or(CryptoError)
    }
}

/// Opens a UDP socket and an endpoint on it. `seed` is the identity's secret; without one, resets are random.
pub(super) fn endpoint(
    executor: &Arc<Executor<'static>>,
    listen: SocketAddr,
    seed: Option<&[u8]>,
    server: Option<ServerConfig>,
) -> io::Result<Endpoint> {
    let socket = UdpSocket::bind(listen)?;
    let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
    // Less is slower, not wrong.
    let _ = state.set_recv_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER);
    let _ = state.set_send_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER);
    let mut config = seed.map_or_else(EndpointConfig::default, remembered);
    config.max_udp_payload_size(LONGEST_PAYLOAD).map_err(io::Error::other)?;
    Endpoint::new(config, server, socket, Arc::new(OnExecutor(Arc::downgrade(executor))))
}

fn remembered(seed: &[u8]) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(ResetKey(blake3::derive_key("rafty quic reset v1", seed))));
    let [a, b, c, d, e, f, g, h, ..] = blake3::derive_key("rafty quic connection id v1", seed);
    let key = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(key)));
    config
}

/// Bounds of connections that others dial. Streams are granted one by one, after the caller was let in.
pub(super) fn accepting(crypto: quinn::crypto::rustls::QuicServerConfig) -> ServerConfig {
    let mut tokens = ValidationTokenConfig::default();
    tokens.sent(0);
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(accepted()))
        .validation_token_config(tokens)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFER * 4);
    config
}

/// The same where an answer to a handshake may take seconds.
pub(super) fn accepting_slowly(config: &ServerConfig) -> ServerConfig {
    let mut config = config.clone();
    let mut transport = accepted();
    transport.initial_rtt(SLOW_INITIAL_RTT);
    config.transport_config(Arc::new(transport));
    config
}

fn accepted() -> TransportConfig {
    let mut transport = bounds();
    transport.max_idle_timeout(Some(idle(BULK_IDLE.max(super::joining::REPLY_WITHIN * 2))));
    // Here only acknowledgements and short answers are sent: long packets are not worth trying.
    transport.mtu_discovery_config(None);
    transport
}

/// Bounds of peer connections that we dial.
pub(super) fn peer() -> TransportConfig {
    let mut transport = bounds();
    transport.max_idle_timeout(Some(idle(PEER_IDLE))).keep_alive_interval(Some(PEER_KEEP_ALIVE));
    transport
}

/// Bounds of bulk connections that we dial. They yield to everything else.
pub(super) fn bulk() -> TransportConfig {
    let mut transport = bounds();
    transport.congestion_controller_factory(Arc::new(YieldingConfig::default()));
    transport.max_idle_timeout(Some(idle(BULK_IDLE))).keep_alive_interval(Some(BULK_KEEP_ALIVE));
    transport
}

/// The same over a slow way, where an answer may take seconds: what is repeated sooner only makes it take longer.
pub(super) fn slow(mut transport: TransportConfig) -> TransportConfig {
    transport
        .initial_rtt(SLOW_INITIAL_RTT)
        .max_idle_timeout(Some(idle(SLOW_IDLE)))
        .mtu_discovery_config(None);
    transport
}

/// Bounds of a join that we dial. It ends before long packets would pay, and its end was seen to be lost while the length
/// of packets was being tried: the other side then keeps the place for seconds.
pub(super) fn join() -> TransportConfig {
    let mut transport = bounds();
    transport.max_idle_timeout(Some(idle(super::joining::REPLY_WITHIN * 2))).mtu_discovery_config(None);
    transport
}

/// Bounds of a path that is tried by pinging this often.
pub(super) fn probe(every: Duration) -> TransportConfig {
    let mut transport = join();
    transport.keep_alive_interval(Some(every));
    transport
}

fn bounds() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let mut path = MtuDiscoveryConfig::default();
    path.upper_bound(LONGEST_PAYLOAD);
    transport
        .mtu_discovery_config(Some(path))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_send_buffer_size(DATAGRAM_SEND_BUFFER)
        .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BUFFER))
        .initial_rtt(INITIAL_RTT);
    transport
}

fn idle(after: Duration) -> IdleTimeout {
    IdleTimeout::from(VarInt::from_u32(u32::try_from(after.as_millis()).unwrap_or(u32::MAX)))
}
