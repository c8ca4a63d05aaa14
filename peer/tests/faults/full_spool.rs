//! No room for what others send: the member says so, rounds go on without it, and it catches up when there is room.

use crate::place::{Place, peer_set};
use crate::rounds;
use crate::slow_links::{start, until_all_have};
use crate::support::peer_set::Folder;
use crate::support::until;
use crate::world::{World, tool};
use std::time::Duration;

/// A page, which no model of a hidden layer so wide fits into.
const SIZE: &str = "size=4k";
const WIDTH: usize = 3_300;
const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn a_member_without_room_for_models_says_so_and_catches_up() {
    World::Mounts.enter(
        "full_spool::a_member_without_room_for_models_says_so_and_catches_up",
        &["unshare", "mount"],
        || {
            const FULL: usize = 1;
            let folder = Folder::new();
            let data = rounds::data(&folder, "data.csv", 0.0);
            let place = |at: usize| Place {
                data: (at == 2).then(|| data.clone()),
                ..Place::new(folder.path(&format!("p{at}")))
            };
            let set = peer_set(&[place(0), place(FULL), place(2)], &[]);
            let (full, spool) = (&set.members[FULL], set.members[FULL].file("spool"));
            tool(&["mount", "-t", "tmpfs", "-o", SIZE, "none", spool.to_str().expect("text")]);
            start(&set, &folder, &data, WIDTH);
            until_all_have(&set, &[0, 2], 2, WITHIN);
            let said = "the disk cannot keep it: No space left on device";
            until("it says why", || full.said().contains(said).then_some(()));
            assert!(full.status().is_some_and(|status| status.trouble.is_none()), "its log has room");
            tool(&["umount", "--lazy", spool.to_str().expect("text")]);
            until_all_have(&set, &[0, FULL, 2], 3, WITHIN);
            rounds::stop(&set);
        },
    );
}
