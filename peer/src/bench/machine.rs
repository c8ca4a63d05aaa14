//! What the machine can do, and what its processes take of it.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// How often the disk is asked to sync, to know what it can do.
const SYNCS: u32 = 200;
/// Bytes written before each of them.
const SYNC_LEN: usize = 4_096;
/// Ticks of a process's CPU time in a second, as Linux counts them for programs.
const TICKS_PER_S: f64 = 100.0;
/// Folders in folders that are looked into.
const DEEPEST: u32 = 4;

/// Syncs of 4 KiB that the disk under `dir` does in a second, one after the other.
pub(crate) fn syncs_per_second(dir: &Path) -> std::io::Result<f64> {
    let mut file = File::create(dir.join("syncs"))?;
    let start = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&[0; SYNC_LEN])?;
        file.sync_data()?;
    }
    Ok(f64::from(SYNCS) / start.elapsed().as_secs_f64())
}

/// CPU time that a process took so far, in seconds; `process` is its number or `self`.
pub(crate) fn cpu_s(process: &str) -> f64 {
    ticks(process, 11) / TICKS_PER_S
}

/// CPU time that this process's ended children took, in seconds.
pub(crate) fn cpu_of_ended_children_s() -> f64 {
    ticks("self", 13) / TICKS_PER_S
}

/// Two fields of a process's statistics that belong together, from the one of this number behind its name.
fn ticks(process: &str, first: usize) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, in brackets, may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().skip(first).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum()
}

/// What the files in `dir` take of the disk, in MB.
pub(crate) fn disk_mb(dir: &Path) -> f64 {
    bytes_in(dir, DEEPEST) as f64 / 1e6
}

fn bytes_in(dir: &Path, deepest: u32) -> u64 {
    use std::os::unix::fs::MetadataExt;
    /// What `st_blocks` counts in.
    const BLOCK: u64 = 512;
    let Some(entries) = std::fs::read_dir(dir).ok().filter(|_| deepest > 0) else { return 0 };
    let each = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path(), deepest - 1),
        Ok(metadata) => metadata.blocks() * BLOCK,
        Err(_) => 0,
    });
    each.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn this_process_takes_cpu_time() {
        let before = cpu_s("self");
        let start = Instant::now();
        while cpu_s("self") <= before {
            assert!(start.elapsed() < Duration::from_secs(60));
        }
    }

    #[test]
    fn files_of_folders_in_folders_count() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        for name in ["one", "in/two"] {
            let mut file = File::create(folder.path().join(name)).unwrap();
            file.write_all(&vec![1; 1_000_000]).unwrap();
            file.sync_data().unwrap();
        }
        let mb = disk_mb(folder.path());
        assert!((2.0..2.2).contains(&mb), "{mb}");
    }
}
