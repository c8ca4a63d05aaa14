//! Devices that train on a few points.

use super::peer_set::{Folder, PeerSet};
use super::{json, rafty_agent};
use std::fmt::Write;
use std::fs;

/// A table of so many points, in a folder of this name.
pub(crate) fn data(folder: &Folder, name: &str, rows: i64) -> String {
    let path = folder.path(name);
    fs::create_dir(&path).unwrap();
    let mut text = String::from("x,side\n");
    for at in 0..rows {
        let x = (at * 40) as f64 / rows as f64 - 20.0; // no two alike: equal ones count once
        writeln!(text, "{x},{}", u8::from(x >= 0.0)).unwrap();
    }
    fs::write(format!("{path}/points.csv"), text).unwrap();
    path
}

/// A device joins that trains on `data`; not started.
pub(crate) fn device_joins(set: &PeerSet, dir: &str, data: &str) {
    let (token, peer) = set.token_for("agent", "1h");
    let words = ["join", &token, "--peer", &peer, "--listen", "127.0.0.1:0", "--dir", dir, "--data", data];
    json(&rafty_agent(), &words);
}
