//! Disks that are copied as a whole, and file systems that come and go: what a file tells of its origin, and what only the
//! record of a member's starts can tell.

use crate::disks::move_onto;
use crate::support::peer_set::{Folder, Member};
use crate::support::{ok, rafty, rafty_agent, run, until};
use crate::world::{World, tool};
use serde_json::json;
use std::process::Command;

const SIZE: &str = "64M";
/// Entries of tenures that pass before an older image is put back: more than one tenure is recorded by then.
const ENTRIES_LATER: u64 = 12;

fn anomalies(member: &Member) -> Vec<String> {
    member.status().map(|status| status.node.disk_anomalies).unwrap_or_default()
}

fn make_disk(disk: &str) {
    tool(&["truncate", "--size", SIZE, disk]);
    tool(&["mkfs.ext4", "-q", disk]);
}

fn mount_disk(disk: &str, dir: &str) {
    tool(&["mount", "-t", "ext4", "-o", "loop", disk, dir]);
}

fn next_free_device() -> String {
    let found = Command::new("losetup").arg("--find").output().expect("losetup runs");
    String::from_utf8(found.stdout).expect("text").trim().to_string()
}

/// An image keeps inodes and birth times, so that no file looks copied.
#[test]
fn a_card_that_is_written_anew_from_an_older_image_is_named_and_comes_back_by_rejoin() {
    let test =
        "copied_disks::a_card_that_is_written_anew_from_an_older_image_is_named_and_comes_back_by_rejoin";
    World::Disks.enter(test, &["unshare", "mount", "umount", "mkfs.ext4", "losetup", "dd"], || {
        let folder = Folder::new();
        let mut set = folder.three(&["--tenure", "1s"]);
        let disk = |dir: &str| format!("{dir}.disk");
        move_onto(&mut set, |_, dir| {
            make_disk(&disk(dir));
            mount_disk(&disk(dir), dir);
        });
        let (dir, image) = (set.members[2].dir.clone(), folder.path("image"));
        let card = disk(&dir);
        set.members[2].kill();
        tool(&["umount", &dir]);
        tool(&["dd", "status=none", "bs=1M", &format!("if={card}"), &format!("of={image}")]);
        mount_disk(&card, &dir);
        set.members[2].restart();
        let applied = set.settle(3);
        assert!(anomalies(&set.members[2]).is_empty(), "{:?}", anomalies(&set.members[2]));
        set.members[0].set("one", 1).expect("a majority");
        until("some tenures", || {
            set.members[0].status().filter(|status| status.node.applied.0 > applied.0 + ENTRIES_LATER)
        });

        set.members[2].kill();
        tool(&["umount", &dir]);
        tool(&["dd", "status=none", "bs=1M", &format!("if={image}"), &format!("of={card}")]);
        mount_disk(&card, &dir);
        set.members[2].restart();
        for at in [2, 0] {
            let told = until("it is named", || {
                anomalies(&set.members[at]).into_iter().find(|what| what.contains("older copy"))
            });
            assert!(told.contains("rejoin"), "{told}");
        }
        assert!(!set.members[2].said().contains("looks like a copy"), "{}", set.members[2].said());
        set.members[0].set("two", 2).expect("a majority");

        set.members[2].kill();
        ok(&rafty(), &["rejoin", "--yes", "--dir", &dir]);
        set.members[2].restart();
        until("no anomaly", || anomalies(&set.members[2]).is_empty().then_some(()));
        for (key, value) in [("one", 1), ("two", 2)] {
            assert_eq!(set.members[2].get(key), Some(json!(value)));
        }
        set.kill_all();
        set.members.iter().for_each(crate::disks::unmount);
    });
}

/// A file system that is mounted again, on another device, or under an overlay: the directory is what it was.
#[test]
fn a_file_system_that_is_mounted_again_holds_no_copy_and_a_copied_directory_is_one() {
    let test =
        "copied_disks::a_file_system_that_is_mounted_again_holds_no_copy_and_a_copied_directory_is_one";
    World::Disks.enter(test, &["unshare", "mount", "umount", "mkfs.ext4", "losetup", "cp"], || {
        let folder = Folder::new();
        let dir = |name: &str| {
            let path = folder.path(name);
            std::fs::create_dir(&path).expect("a folder");
            path
        };
        let (disk, spare, under) = (folder.path("disk"), folder.path("spare"), dir("under"));
        let (ext4, overlay, memory) = (dir("ext4"), dir("overlay"), dir("memory"));
        [&disk, &spare].into_iter().for_each(|disk| make_disk(disk));
        tool(&["truncate", "--size", "1M", &folder.path("nothing")]);
        mount_disk(&spare, &under);
        for layer in ["lower", "upper", "work"] {
            std::fs::create_dir(format!("{under}/{layer}")).expect("a folder");
        }
        let layers = format!("lowerdir={under}/lower,upperdir={under}/upper,workdir={under}/work");
        let mount_overlay = || tool(&["mount", "-t", "overlay", "overlay", "-o", &layers, &overlay]);

        mount_disk(&disk, &ext4);
        let mut member = Founder::on(&format!("{ext4}/p"), "copies");
        member.stays_the_original(|| {
            tool(&["umount", &ext4]);
            // The next free device has another number.
            let device = next_free_device();
            tool(&["losetup", &device, &folder.path("nothing")]);
            mount_disk(&disk, &ext4);
            tool(&["losetup", "--detach", &device]);
        });
        member.is_known_as_copied_to(&folder.path("copy-of-ext4"));
        drop(member);

        mount_overlay();
        let mut member = Founder::on(&format!("{overlay}/p"), "copies");
        member.stays_the_original(|| {
            tool(&["umount", &overlay]);
            mount_overlay();
        });
        member.is_known_as_copied_to(&folder.path("copy-of-overlay"));
        drop(member);
        tool(&["umount", &overlay]);

        tool(&["mount", "-t", "tmpfs", "tmpfs", &memory]);
        let mut member = Founder::on(&format!("{memory}/p"), "copies");
        member.stays_the_original(|| {});
        member.is_known_as_copied_to(&folder.path("copy-of-memory"));
    });
}

/// A member that is alone.
struct Founder(Member);

impl Founder {
    fn on(dir: &str, name: &str) -> Self {
        ok(&rafty(), &["init", "--name", name, "--listen", "127.0.0.1:0", "--dir", dir]);
        let member = Member::start(dir.to_string());
        until("a leader", || member.set("one", 1).ok());
        Self(member)
    }

    fn stays_the_original(&mut self, while_down: impl FnOnce()) {
        self.0.kill();
        while_down();
        self.0.restart();
        until("it leads", || self.0.set("two", 2).ok());
        assert!(anomalies(&self.0).is_empty(), "{}: {:?}", self.0.dir, anomalies(&self.0));
    }

    /// Who is alone goes on from a copy, since nobody else could be led astray; that it is one is told all the same.
    fn is_known_as_copied_to(&mut self, copy: &str) {
        self.0.kill();
        let checked = |dir: &str| {
            let output = run(&rafty_agent(), &["check", "--dir", dir]);
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert!(!checked(&self.0.dir).contains("looks like a copy"), "{}", checked(&self.0.dir));
        tool(&["cp", "--archive", &self.0.dir, copy]);
        assert!(checked(copy).contains("looks like a copy"), "{}", checked(copy));
    }
}
