//! Blobs, the spool, the member's directory and the note on a pending update.

use rafty_storage::*;
use rafty_types::{Digest, Round, RunId};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};

#[test]
fn a_blob_is_what_its_digest_names() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let mut writer = blobs.writer().unwrap();
    writer.write_all(b"weights, ").unwrap();
    writer.write_all(b"more weights").unwrap();
    let digest = writer.commit().unwrap();
    assert_eq!(digest, Digest::of(b"weights, more weights"));
    assert_eq!(blobs.put(b"weights, more weights").unwrap(), digest);
    assert_eq!(blobs.get(digest).unwrap(), b"weights, more weights");
    assert_eq!(blobs.len(digest).unwrap(), Some(21));
    let mut read = String::new();
    blobs.open_reader(digest).unwrap().read_to_string(&mut read).unwrap();
    assert_eq!(read, "weights, more weights");
    assert_eq!(blobs.digests().unwrap(), [digest]);
}

#[test]
fn a_damaged_blob_is_not_read_and_heals_when_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let digest = blobs.put(b"weights").unwrap();
    for damage in [&b"wejghts"[..], b"weight", b"weightss", b""] {
        std::fs::write(dir.path().join(digest.to_string()), damage).unwrap();
        assert!(matches!(blobs.get(digest), Err(BlobError::Damaged(_))));
        let error = blobs.open_reader(digest).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
    blobs.put(b"weights").unwrap();
    assert_eq!(blobs.get(digest).unwrap(), b"weights");
}

#[test]
fn unfinished_and_unneeded_blobs_go() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let [one, two, three] = [b"1", b"2", b"3"].map(|bytes| blobs.put(bytes).unwrap());
    drop(blobs.writer().unwrap());
    assert_eq!(blobs.keep_only(&[two]).unwrap(), 2);
    assert!(!blobs.contains(one) && blobs.contains(two) && !blobs.contains(three));
    assert!(matches!(blobs.get(one), Err(BlobError::Missing(_))));
    assert_eq!(blobs.len(one).unwrap(), None);
    blobs.remove(two).unwrap();
    blobs.remove(two).unwrap();
    std::fs::write(dir.path().join(".new-7-7"), "left by a killed process").unwrap();
    let writer = Blobs::open(dir.path()).unwrap().writer().unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "only what is being written");
    assert_eq!(blobs.keep_only(&[]).unwrap(), 0);
    writer.commit().unwrap();
    assert!(blobs.contains(Digest::of(b"")));
}

#[test]
fn a_spool_is_bounded_and_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), 100).unwrap();
    let (first, mut file) = spool.create(60).unwrap();
    assert!(matches!(spool.create(41), Err(SpoolError::Full { wanted: 41 })));
    assert!(matches!(spool.create(u64::MAX), Err(SpoolError::Full { .. })));
    let (second, _) = spool.create(40).unwrap();
    file.write_all(&[7; 60]).unwrap();
    assert_eq!(file.write_all(&[7]).unwrap_err().kind(), ErrorKind::StorageFull);
    file.seek(SeekFrom::Start(10)).unwrap();
    file.write_all(&[8; 50]).unwrap();
    assert_eq!(file.write_all(&[8]).unwrap_err().kind(), ErrorKind::StorageFull);
    let mut read = Vec::new();
    spool.open_file(first).unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, [[7; 10].as_slice(), &[8; 50]].concat());
    spool.remove(second).unwrap();
    spool.remove(second).unwrap();
    assert_eq!(spool.reserved(), 60);
    assert!(matches!(spool.open_file(second), Err(SpoolError::Missing(_))));
    let (third, _) = spool.create(40).unwrap();
    assert_ne!(third, second);
    let spool = Spool::open(dir.path(), 100).unwrap();
    assert!(!spool.path(first).exists());
    for _ in 0..MAX_SPOOL_FILES {
        spool.create(0).unwrap();
    }
    assert!(matches!(spool.create(0), Err(SpoolError::Full { wanted: 0 })));
}

#[test]
fn a_directory_is_held_once_and_is_private() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("deep/member");
    let first = DataDir::open(&root).unwrap();
    assert!(matches!(DataDir::open(&root), Err(DataDirError::InUse(_))));
    drop(first);
    let dir = DataDir::open(&root).unwrap();
    assert!(dir.log().starts_with(&root) && dir.blobs().starts_with(&root) && dir.spool().starts_with(&root));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(root.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.tex"), "").unwrap();
    assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::Foreign(_))));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);

    let newer = tempfile::tempdir().unwrap();
    std::fs::write(newer.path().join("layout"), "rafty 4\n").unwrap();
    let error = DataDir::open(newer.path()).unwrap_err();
    assert!(
        matches!(error, DataDirError::UnknownLayout { ref found, .. } if found == "rafty 4\n"),
        "{error}"
    );
}

#[test]
fn a_directory_of_the_version_before_is_taken_over_and_closed_to_that_version() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("layout"), "rafty 2\n").unwrap();
    DataDir::open(dir.path()).unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("layout")).unwrap(), "rafty 3\n");
}

#[test]
fn a_half_created_directory_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("lock"), "").unwrap();
    std::fs::write(dir.path().join(".new-1-0"), "raf").unwrap();
    DataDir::open(dir.path()).unwrap();
    assert!(!dir.path().join(".new-1-0").exists());
    assert_eq!(std::fs::read_to_string(dir.path().join("layout")).unwrap(), "rafty 3\n");
}

#[test]
fn a_damaged_log_is_set_aside_for_a_new_one() {
    let root = tempfile::tempdir().unwrap();
    let dir = DataDir::open(root.path()).unwrap();
    dir.set_log_aside().unwrap();
    for _ in 0..2 {
        Log::create(&dir.log()).unwrap();
        std::fs::write(dir.log().join("log.redb"), "damage").unwrap();
        assert!(matches!(Log::open(&dir.log()), Err(OpenError::Damaged { .. })));
        dir.set_log_aside().unwrap();
        assert_eq!(std::fs::read(root.path().join("log.damaged/log.redb")).unwrap(), b"damage");
    }
    Log::create(&dir.log()).unwrap();
    Log::open(&dir.log()).unwrap();
}

#[test]
fn a_pending_update_is_remembered_until_it_is_cleared() {
    let root = tempfile::tempdir().unwrap();
    let dir = DataDir::open(root.path()).unwrap();
    assert_eq!(PendingUpdate::load(&dir).unwrap(), None);
    let (base, update) = (Digest::of(b"base"), Digest::of(b"update"));
    let pending = PendingUpdate { run: RunId(9), round: Round(3), base, update, num_examples: 600 };
    pending.save(&dir).unwrap();
    assert_eq!(PendingUpdate::load(&dir).unwrap(), Some(pending));
    let path = dir.file("pending-update");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(PendingUpdate::load(&dir), Err(PendingError::Damaged)));
    PendingUpdate::clear(&dir).unwrap();
    PendingUpdate::clear(&dir).unwrap();
    assert_eq!(PendingUpdate::load(&dir).unwrap(), None);
}
