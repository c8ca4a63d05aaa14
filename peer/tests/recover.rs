//! A set that lost most of its voters goes on with one survivor, and the others come back under their identities.

mod support;

use serde_json::{Value, json};
use std::time::Instant;
use support::peer_set::{Folder, Member};
use support::{json as run_json, rafty, run, until};

/// Runs a command on a stopped member: its exit code and what it said.
fn ask(member: &Member, words: &[&str]) -> (Option<i32>, String) {
    let output = run(&rafty(), &[words, &["--dir", &member.dir]].concat());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn recover(member: &Member) -> Value {
    run_json(&rafty(), &["recover", "--yes", "--dir", &member.dir])
}

fn told_of_other_epoch(member: &Member, what: &str) {
    until(what, || {
        let told = member.status()?.other_epochs;
        told.iter().any(|text| text.contains(what)).then_some(())
    });
}

#[test]
fn one_survivor_goes_on_and_the_others_come_back() {
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    for count in 0..20 {
        set.founder().set(&format!("key-{count}"), count).expect("an acknowledgement");
    }
    set.settle(3);
    let old: Vec<_> = set.members.iter().map(|member| member.id().expect("it runs")).collect();
    set.members[1].kill();
    set.members[2].kill();
    let why = set.members[0].set("lost", 1).expect_err("one of three voters is no majority").to_string();
    assert!(why.contains("`recover`") || why.contains("may or may not"), "{why}");
    refused_while_it_runs_or_unasked(&mut set.members[0]);

    let done = recover(&set.members[0]);
    assert_eq!((&done["from"]["number"], &done["epoch"]["number"]), (&json!(0), &json!(1)));
    let (code, said) = ask(&set.members[0], &["recover", "--yes"]);
    assert!(code == Some(4) && said.contains("only voter of epoch 1/"), "{code:?} {said}");
    let begun = Instant::now();
    set.members[0].restart();
    until("a write", || set.members[0].set("after", "recovery").ok());
    eprintln!("service is back {} ms after `up`", begun.elapsed().as_millis());

    for at in [1, 2] {
        set.members[at].restart();
        told_of_other_epoch(&set.members[at], "recovered without this member");
        told_of_other_epoch(&set.members[0], "run `rejoin` there");
        let (code, said) = ask(&set.members[at], &["rejoin", "--yes"]);
        assert!(code == Some(1) && said.contains("in use") && said.contains("nothing was changed"), "{said}");
        set.members[at].kill();
        let back = run_json(&rafty(), &["rejoin", "--yes", "--dir", &set.members[at].dir]);
        assert_eq!(back["epoch"], done["epoch"]);
        set.members[at].restart();
    }
    set.settle(3);
    for (member, old) in set.members.iter().zip(old) {
        assert_eq!(member.id() == Some(old), member.dir == set.members[0].dir, "others get new numbers");
        assert_eq!(member.get("after"), Some(json!("recovery")));
        (0..20).for_each(|count| assert_eq!(member.get(&format!("key-{count}")), Some(json!(count))));
    }
    set.members[1].kill();
    let (code, said) = ask(&set.members[1], &["rejoin", "--yes"]);
    assert!(code == Some(4) && said.contains("belongs to it already"), "{said}");
}

/// Nothing is changed by a recovery beside a running member, or without a person's yes.
fn refused_while_it_runs_or_unasked(survivor: &mut Member) {
    let (code, said) = ask(survivor, &["recover", "--yes"]);
    assert!(code == Some(1) && said.contains("in use") && said.contains("nothing was changed"), "{said}");
    survivor.kill();
    let (code, said) = ask(survivor, &["recover"]);
    assert!(code == Some(2) && said.contains("use --yes") && said.contains("nothing was changed"), "{said}");
    assert!(said.contains("without these voters") && said.contains("epoch 0/"), "{said}");
}

#[test]
fn two_that_were_recovered_apart_name_the_fork_and_one_gives_its_branch_up() {
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    set.founder().set("lamp", "on").expect("an acknowledgement");
    set.settle(3);
    set.kill_all();
    recover(&set.members[0]);
    recover(&set.members[1]);
    set.members[0].restart();
    set.members[1].restart();
    told_of_other_epoch(&set.members[0], "another branch of the set");
    told_of_other_epoch(&set.members[1], "another branch of the set");
    until("a write in one branch", || set.members[0].set("lamp", "red").ok());
    until("a write in the other", || set.members[1].set("lamp", "blue").ok());

    set.members[1].kill();
    let (code, said) = ask(&set.members[1], &["rejoin", "--yes"]);
    assert!(
        code == Some(4) && said.contains("another branch") && said.contains("nothing was changed"),
        "{said}"
    );
    run_json(&rafty(), &["rejoin", "--yes", "--abandon-branch", "--dir", &set.members[1].dir]);
    set.members[1].restart();
    until("the other branch's state", || (set.members[1].get("lamp") == Some(json!("red"))).then_some(()));
}

#[test]
fn a_lone_voter_has_nothing_to_recover() {
    let folder = Folder::new();
    let mut set = folder.found("p1", &[]);
    set.founder().set("lamp", "on").expect("an acknowledgement");
    set.kill_all();
    let (code, said) = ask(&set.members[0], &["recover", "--yes"]);
    assert!(code == Some(4) && said.contains("nothing to recover"), "{said}");
    set.members[0].restart();
    assert_eq!(set.founder().get("lamp"), Some(json!("on")));
}
