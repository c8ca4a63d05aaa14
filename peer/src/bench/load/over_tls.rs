//! Clients with a token, over TLS: a thread each, with a kept connection or one for each request.

use super::client::{Client, TRY_AGAIN, Verdict};
use super::{LOOK_EVERY, Watch, gave_up};
use rafty_agent::Failure;
use rafty_client::blocking::Connection;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

pub(super) fn run<'a>(
    clients: Vec<Client<'a>>,
    token: &str,
    watch: &mut Watch<'_>,
) -> Result<Vec<Client<'a>>, Failure> {
    let (stop, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    let ended: Result<Vec<io::Result<Client<'a>>>, Failure> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            clients.into_iter().map(|client| scope.spawn(|| work(client, token, &stop, &answered))).collect();
        let mut seen = Ok(());
        while threads.iter().any(|thread| !thread.is_finished()) {
            if seen.is_ok() {
                seen = watch.see(answered.load(Ordering::Relaxed));
                stop.store(seen.is_err(), Ordering::Relaxed);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let ended = threads.into_iter().map(|thread| thread.join().expect("a client does not panic"));
        seen.map(|()| ended.collect())
    });
    ended?.into_iter().collect::<io::Result<_>>().map_err(gave_up)
}

fn work<'a>(
    mut client: Client<'a>,
    token: &str,
    stop: &AtomicBool,
    answered: &AtomicU32,
) -> io::Result<Client<'a>> {
    let began = Instant::now();
    let mut kept: Option<Connection> = None;
    while !client.is_done() && !stop.load(Ordering::Relaxed) {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(&client.at, Some(token)).map_err(io::Error::other)?,
        };
        let reply = connection.ask(client.ask()).map_err(io::Error::other)?;
        let verdict = client.judge(&reply)?;
        match verdict {
            Verdict::Counts => _ = answered.fetch_add(1, Ordering::Relaxed),
            Verdict::Elsewhere => {}
            Verdict::Later => std::thread::sleep(TRY_AGAIN),
        }
        if verdict != Verdict::Elsewhere && !client.load.kind.one_shot {
            kept = Some(connection);
        }
    }
    client.busy = began.elapsed();
    Ok(client)
}
