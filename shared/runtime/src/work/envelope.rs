//! Sealing what is on the disk, and opening a model to the disk.

use crate::envelopes::Spooled;
use crate::work::WorkerContext;
use crate::work::model::check_model;
use rafty_rounds::WorkResult;
use rafty_seal::{OpenError, Opening, RsaPublic, SealError};
use rafty_storage::{BlobError, Blobs};
use rafty_types::{Digest, Label, MemberId, PeerKey, Refusal, RunSpec};
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::sync::Arc;

/// Why nothing was sealed.
#[derive(Debug)]
pub(crate) enum SealFailure {
    /// The blob is missing or damaged.
    Gone,
    /// Anything else, in words.
    Other(String),
}

impl<E: std::error::Error + 'static> From<E> for SealFailure {
    fn from(error: E) -> Self {
        if is_gone(&error) { Self::Gone } else { Self::Other(error.to_string()) }
    }
}

/// Whether a blob that is missing or damaged is behind `error`, or one that is not what its label says.
fn is_gone(error: &(dyn std::error::Error + 'static)) -> bool {
    let blob = matches!(error.downcast_ref(), Some(BlobError::Missing(_) | BlobError::Damaged(_)));
    let read = match error.downcast_ref() {
        Some(SealError::Io(why)) => why.get_ref().is_some_and(|why| is_gone(why)),
        Some(SealError::WrongContent) => true,
        _ => false,
    };
    blob || read
}

/// Seals the blob `content` of `blobs` for `recipients`, each with its RSA public key in PKCS#1 DER.
pub(crate) fn seal(
    context: &WorkerContext,
    blobs: &Blobs,
    content: Digest,
    label: Label,
    recipients: &[(MemberId, Vec<u8>)],
) -> Result<Arc<Spooled>, SealFailure> {
    let recipients = recipients
        .iter()
        .map(|(member, der)| RsaPublic::from_der(der).map(|key| (*member, key)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut plaintext = blobs.open_reader(content)?;
    let len = rafty_seal::ciphertext_len(blobs.len(content)?.ok_or(SealFailure::Gone)?);
    let (body, file) = context.spool.create(len)?;
    let mut ciphertext = BufWriter::new(file);
    let head = rafty_seal::seal(
        label,
        &recipients,
        &context.secrets.identity,
        &mut plaintext,
        &mut ciphertext,
        &mut crate::random::rng(),
    );
    let head = head.map_err(SealFailure::from);
    let head = head.and_then(|head| Ok(ciphertext.flush().map(|()| head)?));
    // A file that stays behind goes at the next start.
    let head = head.inspect_err(|_| drop(context.spool.remove(body)))?;
    Ok(Arc::new(Spooled::new(head, context.spool.clone(), body)))
}

/// Opens a model with this member's own key and stores it, if it is one.
pub(crate) fn open_model(
    context: &WorkerContext,
    envelope: Option<(Arc<Spooled>, PeerKey)>,
    label: &Label,
    spec: &RunSpec,
    base: Option<Digest>,
) -> WorkResult {
    let Some((envelope, sender_key)) = envelope else { return WorkResult::Refused(Refusal::NotAuthentic) };
    let stored = (|| {
        let mut blob =
            context.models.writer().map_err(|error| OpenError::Io(std::io::Error::other(error)))?;
        let opening =
            Opening { label, sender_key: &sender_key, member: context.me, key: &context.secrets.rsa };
        let mut ciphertext = BufReader::new(File::open(envelope.path())?);
        rafty_seal::open(&envelope.head, &opening, &mut ciphertext, &mut blob, &mut crate::random::rng())?;
        blob.commit().map_err(|error| OpenError::Io(std::io::Error::other(error)))
    })();
    match stored {
        Ok(digest) => keep_model(context, digest, spec, base),
        Err(OpenError::NotAuthentic) => WorkResult::Refused(Refusal::NotAuthentic),
        Err(OpenError::Io(error)) => WorkResult::Failed(error.to_string()),
    }
}

/// Whoever holds a model vouches for it: what no member could train from is not kept.
fn keep_model(context: &WorkerContext, digest: Digest, spec: &RunSpec, base: Option<Digest>) -> WorkResult {
    match check_model(&context.models, digest, spec, base) {
        Ok(Ok(())) => WorkResult::Model { digest },
        Ok(Err(refusal)) => match context.models.remove(digest) {
            Ok(()) => WorkResult::Refused(refusal),
            Err(error) => WorkResult::Failed(error.to_string()),
        },
        Err(why) => WorkResult::Failed(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_blob_that_is_missing_or_damaged_is_gone_and_a_disk_that_fails_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let missing = blobs.open_reader(Digest::default()).unwrap_err();
        assert!(matches!(SealFailure::from(missing), SealFailure::Gone));

        let digest = blobs.put(&[7; 100]).unwrap();
        std::fs::write(blobs.path(digest), [8; 100]).unwrap();
        let damaged = blobs.open_reader(digest).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
        assert!(matches!(SealFailure::from(SealError::Io(damaged)), SealFailure::Gone));

        let full = SealError::Io(std::io::ErrorKind::StorageFull.into());
        assert!(matches!(SealFailure::from(full), SealFailure::Other(_)));
    }
}
