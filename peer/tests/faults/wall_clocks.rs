//! Wall clocks that are wrong: they are named, and nothing else comes of them.

use crate::depth::skip;
use crate::disks::compile;
use crate::support::peer_set::{Folder, Member};
use crate::support::{json, ok, rafty, rafty_agent, run, until};
use crate::world::is_there;
use std::path::PathBuf;

#[test]
fn a_wrong_wall_clock_is_named_and_decides_nothing() {
    if !is_there("cc") {
        return skip("there is no C compiler `cc`");
    }
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    let library = compile("wall_clock.c", &PathBuf::from(folder.path("")), &["-shared", "-fPIC"]);
    let ahead = ["env".into(), format!("LD_PRELOAD={}", library.display()), "RAFTY_WALL_CLOCK=7200".into()];
    let wrong = &mut set.members[0];
    wrong.kill();
    wrong.program.splice(0..0, ahead);
    wrong.restart();
    let id = wrong.id().expect("it runs");
    let named = format!("the wall clock of member {id} is 2 h ahead of those of the others");
    for member in &set.members {
        until("the wrong clock is named", || {
            let apart = member.status()?.node.clocks_apart;
            (apart.len() == 1 && apart[0].starts_with(&named)).then_some(())
        });
    }
    let text = ok(&rafty(), &["status", "--dir", &set.members[1].dir]);
    assert!(text.contains(&format!("clock: {named}")), "{text}");
    let checked = run(&rafty_agent(), &["check", "--dir", &set.members[1].dir]);
    let checked = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.contains(&named), "{checked}");

    // The member whose clock is wrong leads and makes a token, and everybody else goes by what has passed.
    let followed = set.members[1].status().expect("it runs").node.leader;
    if followed != Some(id) {
        ok(&rafty(), &["members", "transfer", &id.to_string(), "--dir", &set.members[1].dir]);
    }
    let words = ["token", "create", "--ttl", "10m", "--dir", &set.members[0].dir];
    let token = json(&rafty(), &words);
    let (token, peer) =
        (token["token"].as_str().expect("text"), token["addresses"][0].as_str().expect("text"));
    let dir = folder.path("newcomer");
    json(&rafty(), &["join", token, "--peer", peer, "--listen", "127.0.0.1:0", "--dir", &dir]);
    set.members.push(Member::start(dir));
    set.settle(4);
}
