//! Sealing what is on the disk, and opening a model to the disk.

use crate::envelopes::Spooled;
use crate::work::Bench;
use rafty_rounds::WorkResult;
use rafty_seal::{OpenError, Opening, RsaPublic};
use rafty_storage::Blobs;
use rafty_types::{Digest, Label, MemberId, PeerKey, Refusal};
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::sync::Arc;

/// Seals the blob `content` of `blobs` for `recipients`, each with its RSA public key in PKCS#1 DER.
pub(crate) fn seal(
    bench: &Bench,
    blobs: &Blobs,
    content: Digest,
    label: Label,
    recipients: &[(MemberId, Vec<u8>)],
) -> Result<Arc<Spooled>, String> {
    let recipients = recipients
        .iter()
        .map(|(member, der)| RsaPublic::from_der(der).map(|key| (*member, key)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let mut plaintext = blobs.open_reader(content).map_err(|error| error.to_string())?;
    let len = blobs.len(content).map_err(|error| error.to_string())?.unwrap_or_default();
    let len = rafty_seal::ciphertext_len(len);
    let (body, file) = bench.spool.create(len).map_err(|error| error.to_string())?;
    let mut ciphertext = BufWriter::new(file);
    let head = rafty_seal::seal(
        label,
        &recipients,
        &bench.secrets.identity,
        &mut plaintext,
        &mut ciphertext,
        &mut crate::random::rng(),
    );
    let head = head.map_err(|error| error.to_string());
    let head = head.and_then(|head| ciphertext.flush().map(|()| head).map_err(|error| error.to_string()));
    // A file that stays behind goes at the next start.
    let head = head.inspect_err(|_| drop(bench.spool.remove(body)))?;
    Ok(Arc::new(Spooled::new(head, bench.spool.clone(), body)))
}

/// Opens a model with this member's own key and stores it.
pub(crate) fn open_model(
    bench: &Bench,
    envelope: Option<(Arc<Spooled>, PeerKey)>,
    label: &Label,
) -> WorkResult {
    let Some((envelope, sender_key)) = envelope else { return WorkResult::Refused(Refusal::NotAuthentic) };
    let stored = (|| {
        let mut blob = bench.models.writer().map_err(|error| OpenError::Io(std::io::Error::other(error)))?;
        let opening = Opening { label, sender_key: &sender_key, member: bench.me, key: &bench.secrets.rsa };
        let mut ciphertext = BufReader::new(File::open(envelope.path())?);
        rafty_seal::open(&envelope.head, &opening, &mut ciphertext, &mut blob, &mut crate::random::rng())?;
        blob.commit().map_err(|error| OpenError::Io(std::io::Error::other(error)))
    })();
    match stored {
        Ok(digest) => WorkResult::Model { digest },
        Err(OpenError::NotAuthentic) => WorkResult::Refused(Refusal::NotAuthentic),
        Err(OpenError::Io(error)) => WorkResult::Failed(error.to_string()),
    }
}
