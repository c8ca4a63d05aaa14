//! TLS for clients: 1.3 only, without tickets, resumption or early data, so that every connection shows the certificate
//! that a proof is about.
//!
//! The certificate and its key are made when a member starts and are never written: nobody has to trust the certificate
//! itself, since a member that knows a client's record [proves](rafty_wire::client::prove) that it is its own.

use futures_rustls::TlsAcceptor;
use futures_rustls::server::TlsStream;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use smol::Timer;
use smol::lock::Mutex;
use smol::net::TcpStream;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The first byte of whoever speaks TLS. No MessagePack map begins like this.
pub(super) const HANDSHAKE: u8 = 0x16;
/// The name in the certificate; nobody looks at it.
const NAME: &str = "rafty";
/// How far apart handshakes begin: each costs the loop's thread a signature and a key exchange.
const HANDSHAKE_EVERY: Duration = Duration::from_millis(4);

/// One member's side of TLS with its clients.
#[derive(Clone)]
pub(super) struct PortTls {
    acceptor: TlsAcceptor,
    turn: Arc<Mutex<()>>,
}

impl PortTls {
    /// With a fresh key; also gives the certificate, in DER.
    pub(super) fn new() -> io::Result<(Self, CertificateDer<'static>)> {
        // P-256, which every TLS library knows.
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([NAME.to_string()]).map_err(io::Error::other)?;
        let certificate = cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(crate::net::tls_provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|config| {
                config.with_no_client_auth().with_single_cert(vec![certificate.clone()], key.into())
            })
            .map_err(io::Error::other)?;
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok((Self { acceptor: Arc::new(config).into(), turn: Arc::default() }, certificate))
    }

    /// Shakes hands, when it is this connection's turn.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let turn = self.turn.lock().await;
        Timer::after(HANDSHAKE_EVERY).await;
        drop(turn);
        self.acceptor.accept(stream).await
    }
}
