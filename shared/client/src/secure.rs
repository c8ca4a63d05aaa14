//! TLS to a member that has proved that it knows the client's token.
//!
//! Members' certificates are nobody's word for anything: whoever is at the other end must show by a MAC of the very
//! certificate of this connection that it knows what the peer set keeps of the token. A man in the middle has another
//! certificate and cannot make that MAC. The token itself is sent by nothing in here.

use crate::ClientError;
use crate::exchange::Failure;
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use rafty_wire::client::{Ask, ClientToken, ClientTokenError, Reply, Request, Scanner, decode_answer};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;
use std::fmt;
use std::sync::Arc;

/// Longest reply to a request for a proof.
const MAX_PROOF_REPLY_LEN: usize = 4 * 1024;
/// A name must be asked for; members show one certificate whatever it is, and nobody looks at its name.
const NAME: &str = "rafty";

/// How a client with a token reaches members.
#[derive(Clone)]
pub(crate) struct Secure {
    token: ClientToken,
    connector: TlsConnector,
}

impl Secure {
    /// By a token as its peer set wrote it.
    pub(crate) fn by_token(token: &str) -> Result<Self, ClientError> {
        let bad = |why: &dyn fmt::Display| ClientError::BadToken(why.to_string());
        let token = token.parse().map_err(|why: ClientTokenError| bad(&why))?;
        Self::new(token).map_err(|why| bad(&why))
    }

    fn new(token: ClientToken) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAnyCert(provider)))
            .with_no_client_auth();
        // Every connection shows the certificate that the proof is about.
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(Self { token, connector: Arc::new(config).into() })
    }

    pub(crate) fn token(&self) -> &ClientToken {
        &self.token
    }

    /// Shakes hands and asks for the proof.
    pub(crate) async fn open(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let not_sent = |why: &dyn fmt::Display| Failure::NotSent(why.to_string());
        let name = ServerName::try_from(NAME).map_err(|why| not_sent(&why))?;
        let mut stream = self.connector.connect(name, stream).await.map_err(|why| not_sent(&why))?;
        let ask = Ask::Proof { client: self.token.id() };
        let request = Request { ask, keep: true, timeout: None, token: None, forward: false }.encode();
        let reply = ask_for_proof(&mut stream, &request).await.map_err(|why| not_sent(&why))?;
        if self.is_proved(&stream, &reply) {
            return Ok(stream);
        }
        match Reply::decode(&reply) {
            Some(Reply::Error { error, detail }) => Err(Failure::Refused(error, detail)),
            _ => Err(not_sent(&"it does not prove to be a member that knows the token, which was not sent")),
        }
    }

    fn is_proved(&self, stream: &TlsStream<TcpStream>, reply: &[u8]) -> bool {
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        match (certificate, decode_answer(reply)) {
            (Some(certificate), Some(proof)) => self.token.is_proved(proof, certificate),
            _ => false,
        }
    }
}

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.token.fmt(f)
    }
}

async fn ask_for_proof(stream: &mut TlsStream<TcpStream>, request: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(request).await?;
    stream.flush().await?;
    let (mut reply, mut scanner) = (Vec::new(), Scanner::new(MAX_PROOF_REPLY_LEN));
    let mut chunk = [0; 256];
    loop {
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        reply.extend(&chunk[..read]);
        match scanner.feed(&chunk[..read]) {
            Ok(None) => {}
            // Nothing else was asked for, so nothing may follow.
            Ok(Some(_)) | Err(_) => return Ok(reply),
        }
    }
}

/// Checks that the other end has the certificate's key, and nothing else about it.
#[derive(Debug)]
struct AcceptAnyCert(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyCert {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
