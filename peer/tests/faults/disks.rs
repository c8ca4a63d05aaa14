//! Disks of their own for members: a mount over each one's directory.

use crate::support::peer_set::{Member, PeerSet};
use crate::world::tool;
use std::path::{Path, PathBuf};

/// Stops all members, mounts a disk over the directory of each, puts there what was in it, and starts all again.
/// `mount` is given the number of the member and its directory.
pub(crate) fn move_onto(set: &mut PeerSet, mount: impl Fn(usize, &str)) {
    set.kill_all();
    for (at, member) in set.members.iter().enumerate() {
        let before = format!("{}.before", member.dir);
        std::fs::rename(&member.dir, &before).expect("a directory");
        std::fs::create_dir(&member.dir).expect("a directory");
        mount(at, &member.dir);
        tool(&["cp", "--archive", &format!("{before}/."), &member.dir]);
        // What members wrote they synced; this copy of it must be as safe.
        tool(&["sync", "--file-system", &member.dir]);
        std::fs::remove_dir_all(before).expect("a directory");
    }
    // Otherwise each would be taken for a copy, and none would vote.
    set.members.iter_mut().for_each(|member| member.restart_with(&["--moved"]));
    set.settle(set.members.len());
}

/// Takes the disk of a member away that is not running, if it has one of its own: its folder can go then.
pub(crate) fn unmount(member: &Member) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("a list");
    if mounts.split(' ').any(|word| word == member.dir) {
        tool(&["umount", &member.dir]);
    }
}

/// Compiles what is in C beside this file; gives the path of what came out.
pub(crate) fn compile(source: &str, into: &Path, words: &[&str]) -> PathBuf {
    let name = Path::new(source).file_stem().expect("a name");
    let (from, to) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults").join(source), into.join(name));
    let (from, out) = (from.to_str().expect("text").to_string(), to.to_str().expect("text").to_string());
    tool(&[&["cc", "-O2", "-Wall", "-Werror", "-o", &out, &from], words].concat());
    to
}
