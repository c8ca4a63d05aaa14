//! Measures embedded stores under the load of a Raft log: `cargo run --release`, with a directory as the one
//! argument to measure the disk it lies on (the current directory otherwise).
//!
//! Figures: durable appends a second by group size, bytes sent to the disk per entry, what truncating the front
//! costs, how long reopening takes after `kill -9`, and what a flipped bit does. `plain` is one file without
//! checksums or removal: the floor that the disk itself sets.
//!
//! It does not test power loss: a killed process leaves the kernel's cache behind.

mod stores;

use std::io::{BufRead, BufReader};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use stores::{Failed, NAMES, open};

/// Bytes of one entry.
const ENTRY: usize = 100;
/// How long each appending measure lasts.
const LASTS: Duration = Duration::from_secs(1);
/// How often each is repeated, the stores in turn, since a shared disk's speed changes from minute to minute.
const ROUNDS: usize = 5;
/// Entries in the log that is reopened after a kill.
const KILLED_AT: u64 = 100_000;
/// Entries in the log whose bits are flipped, appended in groups of 8.
const FLIPPED_LOG: u64 = 400;
/// How many bits are flipped, one at a time, spread evenly over all files.
const FLIPS: usize = 400;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("fill") => return fill(&arguments[2], Path::new(&arguments[3]), arguments[4].parse()?),
        Some("read") => return reread(&arguments[2], Path::new(&arguments[3])),
        _ => {}
    }
    let base = arguments.get(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    println!("| store | group | entries/s (median of {ROUNDS}) | groups/s | bytes to disk per entry |");
    println!("|---|---|---|---|---|");
    [1, 8, 64, 256].into_iter().try_for_each(|group| append(group, &base))?;
    println!("\nFront truncated to 1,000 entries each 60, groups of 8:\n");
    println!(
        "| store | entries/s | bytes to disk per entry | bytes in files at the end |\n|---|---|---|---|"
    );
    NAMES.iter().skip(1).try_for_each(|name| truncate(name, &base))?;
    println!(
        "\nReopened after kill -9 with {KILLED_AT} entries, and {FLIPS} flipped bits in a killed log:\n"
    );
    println!(
        "| store | reopen and read all | files | flip: no effect | refused | panic | last group lost | more lost, silently | wrong bytes |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    NAMES.iter().skip(1).try_for_each(|name| reopen(name, &base))
}

fn entries(group: usize, seed: u64) -> Vec<Vec<u8>> {
    (0..group as u64).map(|i| entry(seed + i)).collect()
}

/// Bytes that do not compress, and that name their number.
fn entry(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..ENTRY).map(next).collect()
}

/// Bytes this process has sent to block devices.
fn written() -> Result<u64, Failed> {
    let counters = std::fs::read_to_string("/proc/self/io")?;
    let line = counters.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.ok_or("no write_bytes in /proc/self/io")?.parse()?)
}

fn append(group: usize, base: &Path) -> Result<(), Failed> {
    let mut measured = NAMES.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (name, measured) in NAMES.iter().zip(&mut measured) {
            measured.push(append_once(name, group, base)?);
        }
    }
    for (name, mut measured) in NAMES.iter().zip(measured) {
        measured.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (rate, bytes) = measured[ROUNDS / 2];
        println!("| {name} | {group} | {rate:.0} | {:.0} | {bytes} |", rate / group as f64);
    }
    Ok(())
}

/// Entries a second, and bytes sent to the disk per entry.
fn append_once(name: &str, group: usize, base: &Path) -> Result<(f64, u64), Failed> {
    let dir = tempfile::tempdir_in(base)?;
    let mut store = open(name, dir.path())?;
    store.append(1, &entries(1, 1))?;
    let (before, begin, mut next) = (written()?, Instant::now(), 2);
    while begin.elapsed() < LASTS {
        store.append(next, &entries(group, next))?;
        next += group as u64;
    }
    let count = next - 2;
    Ok((count as f64 / begin.elapsed().as_secs_f64(), (written()? - before) / count))
}

fn truncate(name: &str, base: &Path) -> Result<(), Failed> {
    let dir = tempfile::tempdir_in(base)?;
    let mut store = open(name, dir.path())?;
    let (before, begin, mut next, mut first) = (written()?, Instant::now(), 1, 1);
    while begin.elapsed() < ROUNDS as u32 * LASTS {
        store.append(next, &entries(8, next))?;
        next += 8;
        if next - first > 1_060 {
            store.forget(first..=next - 1_001)?;
            first = next - 1_000;
        }
    }
    let rate = (next - 1) as f64 / begin.elapsed().as_secs_f64();
    let (bytes, files) = ((written()? - before) / (next - 1), files(dir.path())?);
    let size: u64 = files.iter().map(|(_, len)| len).sum();
    println!("| {name} | {rate:.0} | {bytes} | {size} |");
    Ok(())
}

/// In the child: appends `count` entries, says so, and waits to be killed.
fn fill(name: &str, dir: &Path, count: u64) -> Result<(), Failed> {
    let mut store = open(name, dir)?;
    let group = if count < 1_000 { 8 } else { 100 };
    for first in (1..=count).step_by(group) {
        store.append(first, &entries(group, first))?;
    }
    println!("filled");
    loop {
        std::thread::park();
    }
}

/// In the child: reads everything and prints what became of it.
fn reread(name: &str, dir: &Path) -> Result<(), Failed> {
    let outcome = catch_unwind(|| -> Result<_, String> {
        open(name, dir).and_then(|store| store.read()).map_err(|error| error.to_string())
    });
    match outcome {
        Err(_) => println!("panic"),
        Ok(Err(error)) => println!("refused {error}"),
        Ok(Ok(found)) => {
            let right = (1..).zip(&found).all(|(n, (number, bytes))| *number == n && *bytes == entry(n));
            println!("{} {}", if right { "right" } else { "wrong" }, found.len());
        }
    }
    Ok(())
}

fn killed(name: &str, dir: &Path, count: u64) -> Result<(), Failed> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["fill", name, &dir.to_string_lossy(), &count.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    child.kill()?;
    child.wait()?;
    if line == "filled\n" { Ok(()) } else { Err("the child failed".into()) }
}

fn reopen(name: &str, base: &Path) -> Result<(), Failed> {
    let dir = tempfile::tempdir_in(base)?;
    killed(name, dir.path(), KILLED_AT)?;
    let begin = Instant::now();
    let found = open(name, dir.path())?.read()?.len();
    let took = begin.elapsed();
    assert_eq!(found as u64, KILLED_AT, "{name} lost acknowledged entries");
    let size: u64 = files(dir.path())?.iter().map(|(_, len)| len).sum();
    let flips = flip(name, base)?;
    println!("| {name} | {took:.0?} | {size} | {} |", flips.map(|n| n.to_string()).join(" | "));
    Ok(())
}

/// Flips one bit at a time in the files of a killed process and counts what becomes of it.
fn flip(name: &str, base: &Path) -> Result<[usize; 6], Failed> {
    let original = tempfile::tempdir_in(base)?;
    killed(name, original.path(), FLIPPED_LOG)?;
    let files = files(original.path())?;
    // Bytes that are zero are mostly space reserved in advance: flipping there says nothing.
    let mut places = Vec::new();
    for (path, _) in &files {
        let bytes = std::fs::read(path)?;
        places.extend(bytes.iter().enumerate().filter(|(_, b)| **b != 0).map(|(at, _)| (path.clone(), at)));
    }
    let mut outcomes = [0; 6];
    for flip in 0..FLIPS {
        let (path, at) = &places[flip * places.len() / FLIPS];
        let copy = tempfile::tempdir_in(base)?;
        for (from, _) in &files {
            let to = copy.path().join(from.strip_prefix(original.path())?);
            std::fs::create_dir_all(to.parent().ok_or("no parent")?)?;
            let mut bytes = std::fs::read(from)?;
            if from == path {
                bytes[*at] ^= 1 << (flip % 8);
            }
            std::fs::write(to, bytes)?;
        }
        let child = Command::new(std::env::current_exe()?)
            .args(["read", name, &copy.path().to_string_lossy()])
            .stderr(Stdio::null())
            .output()?;
        outcomes[judge(&String::from_utf8_lossy(&child.stdout))] += 1;
    }
    Ok(outcomes)
}

fn judge(said: &str) -> usize {
    let said = said.lines().last().unwrap_or("panic");
    match said.split_once(' ') {
        Some(("refused", _)) => 1,
        Some(("right", count)) => match count.parse::<u64>() {
            Ok(FLIPPED_LOG) => 0,
            Ok(count) if count + 8 == FLIPPED_LOG => 3,
            _ => 4,
        },
        Some(("wrong", _)) => 5,
        _ => 2,
    }
}

fn files(dir: &Path) -> Result<Vec<(PathBuf, u64)>, Failed> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for item in std::fs::read_dir(dir)? {
            let item = item?;
            if item.file_type()?.is_dir() {
                open.push(item.path());
            } else {
                found.push((item.path(), item.metadata()?.len()));
            }
        }
    }
    found.sort();
    Ok(found)
}
