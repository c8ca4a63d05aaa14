//! Mutual TLS 1.3 on Ed25519 raw public keys (RFC 7250): who is at the other end, and nothing else.
//!
//! There are no certificates, no names, no session tickets, no resumption and no early data: every connection proves
//! both keys afresh, so a key that left the roster is out at once.

use super::counters::{Counters, DropReason};
use super::roster::Roster;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rafty_types::PeerKey;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, PeerMisbehaved,
    SignatureScheme,
};
use std::io;
use std::sync::Arc;

/// What a connection is for; agreed by ALPN. Its number rises when members of two versions could misread each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Datagrams and the control stream.
    Peer,
    /// Envelopes and snapshots.
    Bulk,
    /// A newcomer without a key in the roster.
    Join,
}

impl Lane {
    const ALL: [Self; 3] = [Self::Peer, Self::Bulk, Self::Join];

    fn alpn(self) -> &'static [u8] {
        match self {
            Self::Peer => b"rafty-peer/2",
            Self::Bulk => b"rafty-bulk/2",
            Self::Join => b"rafty-join/2",
        }
    }

    /// The lane that was agreed as `alpn`.
    pub(super) fn of(alpn: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.alpn() == alpn)
    }
}

/// A peer's own key pair, as TLS uses it.
#[derive(Clone)]
pub(super) struct Identity(Arc<CertifiedKey>);

impl Identity {
    /// From a PKCS#8 document that must hold the secret half of `key`.
    pub(super) fn new(pkcs8: &[u8], key: PeerKey) -> io::Result<Self> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        let signer = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8))
            .map_err(|_| invalid("the identity is not an Ed25519 key in PKCS#8; nothing was opened"))?;
        let spki = spki_of(key);
        if signer.public_key().as_deref() != Some(&spki[..]) {
            return Err(invalid("the identity's two halves do not belong together; nothing was opened"));
        }
        Ok(Self(Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], signer))))
    }
}

/// Everything before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

fn spki_of(key: PeerKey) -> Vec<u8> {
    [&SPKI_PREFIX[..], &key.0[..]].concat()
}

/// The Ed25519 key in a SubjectPublicKeyInfo.
pub(super) fn key_of(spki: &[u8]) -> Option<PeerKey> {
    spki.strip_prefix(&SPKI_PREFIX)?.try_into().ok().map(PeerKey)
}

/// The configuration of whoever accepts: keys in `roster`, or no key at all; which lane takes which is checked
/// right after the handshake.
pub(super) fn accepting(
    identity: &Identity,
    roster: Arc<Roster>,
    counters: Arc<Counters>,
) -> Result<QuicServerConfig, Error> {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(Admission { roster, counters }))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(identity.0.clone())));
    config.alpn_protocols = Lane::ALL.map(|lane| lane.alpn().to_vec()).into();
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    config.try_into().map_err(|_| Error::General("AES-128-GCM is missing".into()))
}

/// The configuration of whoever dials: the other end must be `expected`; without an identity of our own we show none.
pub(super) fn dialling(
    identity: Option<&Identity>,
    lane: Lane,
    expected: Expected,
) -> Result<QuicClientConfig, Error> {
    let resolver: Arc<dyn ResolvesClientCert> = match identity {
        Some(identity) => Arc::new(AlwaysResolvesClientRawPublicKeys::new(identity.0.clone())),
        None => Arc::new(Keyless),
    };
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(expected))
        .with_client_cert_resolver(resolver);
    config.alpn_protocols = vec![lane.alpn().to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.try_into().map_err(|_| Error::General("AES-128-GCM is missing".into()))
}

/// X25519, and the cipher that the dialler's processor is good at first: several Raspberry Pis have no AES instructions.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let aes = ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let chacha = ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256;
    let cipher_suites = if has_fast_aes() { vec![aes, chacha] } else { vec![chacha, aes] };
    let kx_groups = vec![ring::kx_group::X25519];
    Arc::new(CryptoProvider { cipher_suites, kx_groups, ..ring::default_provider() })
}

#[cfg(target_arch = "x86_64")]
fn has_fast_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes")
}

#[cfg(target_arch = "aarch64")]
fn has_fast_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_fast_aes() -> bool {
    false
}

/// Whom a dialler wants to reach.
#[derive(Debug)]
pub(super) enum Expected {
    /// Exactly this member.
    Key(PeerKey),
    /// Whoever has a key that hashes to this: the first 16 bytes of its BLAKE3.
    Hash([u8; 16]),
    /// Whoever answers: to try a path, never to say or believe anything.
    Anybody,
}

impl Expected {
    fn is(&self, key: PeerKey) -> bool {
        match self {
            Self::Key(expected) => *expected == key,
            Self::Hash(expected) => blake3::hash(&key.0).as_bytes()[..16] == *expected,
            Self::Anybody => true,
        }
    }
}

impl ServerCertVerifier for Expected {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match key_of(end_entity).is_some_and(|key| self.is(key)) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
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
        verify_handshake(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Lets in the keys of the roster, and those that show none.
#[derive(Debug)]
struct Admission {
    roster: Arc<Roster>,
    counters: Arc<Counters>,
}

impl ClientCertVerifier for Admission {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match key_of(end_entity).and_then(|key| self.roster.member(key)) {
            Some(_) => Ok(ClientCertVerified::assertion()),
            None => {
                self.counters.count(DropReason::NotInRoster);
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
        }
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
        verify_handshake(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

fn verify_handshake(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    if dss.scheme != SignatureScheme::ED25519 {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    }
    let spki = SubjectPublicKeyInfoDer::from(cert.as_ref());
    verify_tls13_signature_with_raw_key(
        message,
        &spki,
        dss,
        &ring::default_provider().signature_verification_algorithms,
    )
}

/// Says that it speaks raw keys, and shows none.
#[derive(Debug)]
struct Keyless;

impl ResolvesClientCert for Keyless {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        false
    }
}
