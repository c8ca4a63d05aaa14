//! Sealing: identities, RSA keys, envelopes and admission tokens.
//!
//! An [`Identity`] (Ed25519) signs, an [`RsaKey`] opens. [`seal`] encrypts a stream once and wraps its content key for
//! up to [`MAX_RECIPIENTS`] members; the [`SignedHeader`] it returns names the purpose (a
//! [`Label`](rafty_types::Label)), the recipients and the ciphertext, and carries the sender's signature. [`verify`]
//! lets anybody check that; [`open`] gives the plaintext to a recipient, and only for the purpose it was sealed for.
//! A [`Token`] lets an operator admit a newcomer, whose [`enrol`] statement proves that it holds the token.
//!
//! The steps of a round (S1 to S4) are four calls: a participant seals its update to the tenure's key, the aggregator
//! opens it, seals the new model for the cohort, and each member opens that.
//!
//! ```
//! # use chacha20::{ChaCha20Rng, rand_core::SeedableRng};
//! # use rafty_seal::{Identity, Opening, RsaKey, open, seal, verify};
//! # use rafty_types::{Digest, EnvelopeKind, Label, MemberId};
//! # use std::io::Cursor;
//! # let mut rng = ChaCha20Rng::from_seed([1; 32]);
//! # let key = RsaKey::from_der(include_bytes!("../tests/keys/aggregator.der"))?;
//! # let label = Label {
//! #     set: Default::default(), tenure: Default::default(), run: Default::default(),
//! #     round: Default::default(), attempt: Default::default(), version: Default::default(),
//! #     kind: EnvelopeKind::Update, content: Digest::of(b"an update"), segment: 0, segments: 1,
//! #     sender: MemberId(2),
//! # };
//! let identity = Identity::generate(&mut rng);
//! let recipients = [(MemberId(1), key.public().clone())];
//! let mut sealed = Vec::new();
//! let signed = seal(label.clone(), &recipients, &identity, &mut &b"an update"[..], &mut sealed, &mut rng)?;
//!
//! assert!(verify(&signed, &identity.key()));
//! let opening = Opening { label: &label, sender_key: &identity.key(), member: MemberId(1), key: &key };
//! let mut opened = Vec::new();
//! open(&signed, &opening, &mut Cursor::new(sealed), &mut opened, &mut rng)?;
//! assert_eq!(opened, b"an update");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here opens files or sockets, reads a clock or draws randomness of its own: streams and the random source
//! come from the caller. Whether a sender is a member, whether a label is fresh, and who may use a token is not
//! decided here but in `rounds` and `dictionary`.

mod enrol;
mod envelope;
mod header;
mod identity;
mod rsa_key;
mod stream;
mod token;

pub use enrol::{enrol, re_enrol};
pub use envelope::{OpenError, Opening, SealError, open, seal};
pub use header::{HeaderError, MAX_HEADER_LEN, MAX_RECIPIENTS, SignedHeader, verify};
pub use identity::Identity;
pub use rafty_types::{MAX_MODULUS_BITS, MIN_MODULUS_BITS};
pub use rsa_key::{KeyError, MODULUS_BITS, RsaKey, RsaPublic};
pub use stream::{CHUNK_LEN, MAX_PLAINTEXT_LEN, ciphertext_len};
pub use token::{Token, TokenError, short_hash};

/// The one encoding of `content` for one use: bytes signed or hashed for one purpose never serve another.
fn canonical<T: serde::Serialize>(purpose: &[u8], content: &T) -> Vec<u8> {
    let mut bytes = purpose.to_vec();
    bytes.push(0);
    bytes.extend(postcard::to_allocvec(content).expect("plain data always encodes"));
    bytes
}
