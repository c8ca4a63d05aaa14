//! A light switch for every room, shared by whoever runs this program or its twin in Python.
//!
//! `dictionary-example HOST:PORT[,HOST:PORT…] [ROOM]` shows all lamps, or switches one.

use rafty_client::ClientError;
use rafty_client::blocking::DistributedDict;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.as_slice() {
        [members] => show(members),
        [members, room] => switch(members, room),
        _ => {
            eprintln!("usage: dictionary-example HOST:PORT[,HOST:PORT...] [ROOM]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn show(members: &str) -> Result<(), ClientError> {
    let mut lamps = DistributedDict::new(members.split(','))?;
    for (room, on) in lamps.iter()? {
        println!("{room}: {}", if on.decode()? { "on" } else { "off" });
    }
    Ok(())
}

fn switch(members: &str, room: &str) -> Result<(), ClientError> {
    let mut lamps = DistributedDict::new(members.split(','))?;
    let on: bool = lamps.get(room)?.unwrap_or(false);
    lamps.insert(room, &!on)?;
    println!("{room}: {}", if on { "off" } else { "on" });
    Ok(())
}
