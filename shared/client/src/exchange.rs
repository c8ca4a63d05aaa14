//! One request to one member, and its reply: a connection each.
//!
//! It reads to the end of the stream, since a member closes behind its reply. It does not judge what the reply says.

use rafty_wire::client::{Address, Scanner};
use smol::Timer;
use smol::future::FutureExt;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;
use std::io;
use std::time::Duration;

/// Longest reply: all that a dictionary may hold, and its frame.
const MAX_REPLY_LEN: usize = 128 * 1024 * 1024;

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The member cannot have read the whole request.
    NotSent(String),
    /// It may have.
    NoReply(String),
}

/// Sends a request and waits for its reply, one whole MessagePack value.
pub(crate) async fn exchange(
    to: &Address,
    request: &[u8],
    connect_within: Duration,
    answer_within: Duration,
) -> Result<Vec<u8>, Failure> {
    let Address(host, port) = to;
    let because = |why: &dyn std::fmt::Display| format!("{host}:{port}: {why}");
    let connect = within(connect_within, TcpStream::connect((host.as_str(), *port)));
    let mut stream = connect.await.map_err(|why| Failure::NotSent(because(&why)))?;
    let mut reply = Vec::new();
    let mut sent = Err(io::ErrorKind::TimedOut.into());
    let talk = async {
        let _ = stream.set_nodelay(true);
        sent = stream.write_all(request).await;
        // A member that turns a client away says so without reading the request.
        (&mut stream).take(MAX_REPLY_LEN as u64 + 1).read_to_end(&mut reply).await
    };
    let read = within(answer_within, talk).await;
    match (Scanner::new(MAX_REPLY_LEN).feed(&reply), sent, read) {
        (Ok(Some(len)), _, _) if len == reply.len() => Ok(reply),
        (_, Err(why), _) => Err(Failure::NotSent(because(&why))),
        (Err(why), ..) => Err(Failure::NoReply(because(&format!("the reply cannot be read: {why}")))),
        (_, _, Err(why)) => Err(Failure::NoReply(because(&why))),
        _ => Err(Failure::NoReply(because(&"the connection ended before the reply did"))),
    }
}

async fn within<T>(time: Duration, io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = async {
        Timer::after(time).await;
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} ms", time.as_millis())))
    };
    io.or(late).await
}
