//! The content of an envelope: ChaCha20-Poly1305 in STREAM chunks (Hoang, Reyhanitabar, Rogaway and Vizár 2015).
//!
//! Memory is two chunks, whatever the length. The last chunk is marked as such, so nothing can be cut off, added or
//! reordered. Who holds the key, and what the content is for, is not known here.

use crate::{OpenError, SealError};
use aead_stream::{DecryptorBE32, EncryptorBE32};
use blake3::Hasher;
use chacha20poly1305::ChaCha20Poly1305;
use rafty_types::Digest;
use std::io::{self, Read, Write};
use zeroize::Zeroizing;

/// Plaintext in one chunk, in bytes; only the last one may hold less.
pub const CHUNK_LEN: usize = 64 * 1024;
/// Longest plaintext of one envelope, in bytes: 268 million `f32` weights.
pub const MAX_PLAINTEXT_LEN: u64 = 1 << 30;
/// What authentication adds to each chunk, in bytes.
const TAG_LEN: usize = 16;
const SEALED_CHUNK_LEN: usize = CHUNK_LEN + TAG_LEN;

/// Key, nonce prefix and purpose of one stream.
pub(crate) struct Stream<'a> {
    pub(crate) key: &'a [u8; 32],
    pub(crate) nonce: &'a [u8; 7],
    pub(crate) purpose: &'a Digest,
}

/// What encrypting a stream found out.
pub(crate) struct Encrypted {
    pub(crate) content: Digest,
    pub(crate) ciphertext: Digest,
    pub(crate) ciphertext_len: u64,
}

/// How many bytes an envelope's ciphertext has for a plaintext of `plaintext_len` bytes.
pub fn ciphertext_len(plaintext_len: u64) -> u64 {
    let chunks = plaintext_len.div_ceil(CHUNK_LEN as u64).max(1);
    plaintext_len.saturating_add(chunks * TAG_LEN as u64)
}

/// The reverse of [`ciphertext_len`]. `None` when no plaintext gives that length.
pub(crate) fn plaintext_len(sealed_len: u64) -> Option<u64> {
    let chunks = sealed_len.div_ceil(SEALED_CHUNK_LEN as u64);
    let length = sealed_len.checked_sub(chunks * TAG_LEN as u64)?;
    (ciphertext_len(length) == sealed_len).then_some(length)
}

impl Stream<'_> {
    /// Encrypts all of `plaintext`.
    pub(crate) fn encrypt(
        &self,
        plaintext: &mut dyn Read,
        ciphertext: &mut dyn Write,
    ) -> Result<Encrypted, SealError> {
        let mut encryptor = EncryptorBE32::<ChaCha20Poly1305>::new(self.key.into(), self.nonce.into());
        let mut sink = Hashing { inner: ciphertext, hasher: Hasher::new() };
        let mut content = Hasher::new();
        let (mut chunk, mut next) = (new_chunk(), new_chunk());
        read_chunk(plaintext, &mut chunk)?;
        loop {
            content.update(&chunk);
            if content.count() > MAX_PLAINTEXT_LEN {
                return Err(SealError::TooLong);
            }
            // Only what follows tells whether this chunk is the last one.
            read_chunk(plaintext, &mut next)?;
            if next.is_empty() {
                break;
            }
            encryptor.encrypt_next_in_place(&self.purpose.0, &mut *chunk).map_err(|_| SealError::TooLong)?;
            sink.write_all(&chunk)?;
            std::mem::swap(&mut chunk, &mut next);
        }
        encryptor.encrypt_last_in_place(&self.purpose.0, &mut *chunk).map_err(|_| SealError::TooLong)?;
        sink.write_all(&chunk)?;
        Ok(Encrypted {
            content: finish(&content),
            ciphertext: finish(&sink.hasher),
            ciphertext_len: sink.hasher.count(),
        })
    }

    /// Decrypts `length` bytes of `ciphertext`; the answer is the digest of the plaintext.
    pub(crate) fn decrypt(
        &self,
        length: u64,
        ciphertext: &mut dyn Read,
        plaintext: &mut dyn Write,
    ) -> Result<Digest, OpenError> {
        let mut decryptor = DecryptorBE32::<ChaCha20Poly1305>::new(self.key.into(), self.nonce.into());
        let mut sink = Hashing { inner: plaintext, hasher: Hasher::new() };
        let mut chunk = new_chunk();
        let mut left = length;
        while left > SEALED_CHUNK_LEN as u64 {
            chunk.resize(SEALED_CHUNK_LEN, 0);
            ciphertext.read_exact(&mut chunk)?;
            left -= chunk.len() as u64;
            decryptor
                .decrypt_next_in_place(&self.purpose.0, &mut *chunk)
                .map_err(|_| OpenError::NotAuthentic)?;
            sink.write_all(&chunk)?;
        }
        chunk.resize(left as usize, 0);
        ciphertext.read_exact(&mut chunk)?;
        decryptor.decrypt_last_in_place(&self.purpose.0, &mut *chunk).map_err(|_| OpenError::NotAuthentic)?;
        sink.write_all(&chunk)?;
        Ok(finish(&sink.hasher))
    }
}

/// Whether `source` holds exactly `length` bytes with this digest. Reads at most one byte more.
pub(crate) fn holds(source: &mut dyn Read, length: u64, digest: &Digest) -> io::Result<bool> {
    let mut hasher = Hasher::new();
    hasher.update_reader(source.take(length.saturating_add(1)))?;
    Ok(hasher.count() == length && finish(&hasher) == *digest)
}

/// A sink that remembers what went through it.
struct Hashing<'a> {
    inner: &'a mut dyn Write,
    hasher: Hasher,
}

impl Hashing<'_> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.inner.write_all(bytes)
    }
}

/// Room for one sealed chunk, wiped on drop and never moved while it is filled.
fn new_chunk() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(SEALED_CHUNK_LEN))
}

/// Fills `chunk` with the next [`CHUNK_LEN`] bytes of `source`, or with what is left of it.
fn read_chunk(source: &mut dyn Read, chunk: &mut Vec<u8>) -> io::Result<()> {
    chunk.clear();
    source.take(CHUNK_LEN as u64).read_to_end(chunk).map(drop)
}

fn finish(hasher: &Hasher) -> Digest {
    Digest(*hasher.finalize().as_bytes())
}
