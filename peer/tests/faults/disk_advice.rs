//! What `check` advises where nothing can be written: each cause has another remedy.

use crate::support::peer_set::Folder;
use crate::support::{rafty_agent, run};
use crate::world::{World, tool};
use std::fs::File;

#[test]
fn check_tells_used_up_inodes_from_a_disk_that_is_read_only() {
    let test = "disk_advice::check_tells_used_up_inodes_from_a_disk_that_is_read_only";
    World::Mounts.enter(test, &["unshare", "mount", "umount"], || {
        let folder = Folder::new();
        let disk = folder.path("disk");
        std::fs::create_dir(&disk).expect("a folder");
        tool(&["mount", "-t", "tmpfs", "-o", "size=80m,nr_inodes=40", "tmpfs", &disk]);
        let advice = || {
            let output = run(&rafty_agent(), &["check", "--dir", &format!("{disk}/member")]);
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert!(!advice().contains("cannot be written"), "{}", advice());

        let filled = (0..100).map(|n| File::create(format!("{disk}/{n}"))).find_map(Result::err);
        assert!(filled.is_some(), "40 inodes are fewer than 100 files");
        let said = advice();
        assert!(said.contains("cannot be written") && said.contains("inode"), "{said}");

        tool(&["mount", "-o", "remount,ro", &disk]);
        let said = advice();
        assert!(said.contains("cannot be written") && said.contains("read-only"), "{said}");
        tool(&["umount", &disk]);
    });
}
