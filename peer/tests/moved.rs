//! A member that is found elsewhere tells the others, and is found by those who never saw it there.

mod support;

use rafty_runtime::setup::free_port;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use support::peer_set::{Folder, Member};
use support::{Up, command, rafty, until};

/// An address that nobody has now.
fn free_address() -> SocketAddr {
    free_port(Ipv4Addr::LOCALHOST.into()).and_then(|socket| socket.local_addr()).expect("a free port")
}

fn addresses(member: &Member, of: &Member) -> Option<Vec<SocketAddr>> {
    let id = of.id()?;
    let members = member.status()?.node.members;
    members.into_iter().find(|line| line.id == id).map(|line| line.addresses)
}

fn restart_at(member: &mut Member, address: SocketAddr) {
    let mut moved = command(Path::new("sh"), &["-c", &format!(r#"exec "$0" "$@" --listen {address}"#)]);
    moved.arg(rafty());
    member.up = Some(Up::start_command(moved, &member.dir));
    until("an answer of a member", || member.status());
}

#[test]
fn a_member_that_listens_elsewhere_is_found_there() {
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    let address = free_address();
    set.members[2].kill();
    restart_at(&mut set.members[2], address);
    until("everybody knows where it is", || {
        set.members
            .iter()
            .all(|member| addresses(member, &set.members[2]) == Some(vec![address]))
            .then_some(())
    });

    // The two others forget all connections; only what was committed says where it is.
    let third = set.members.pop().expect("three members");
    set.kill_all();
    set.members.iter_mut().for_each(Member::restart);
    set.members.push(third);
    set.settle(3);
    set.members[0].set("after", 1).expect("an acknowledgement");

    // It stays there from now on.
    set.members[2].kill();
    set.members[2].restart();
    assert_eq!(set.members[2].status().expect("it runs").listen, address);
}
