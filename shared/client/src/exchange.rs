//! One request to one member, and its reply: a connection each, in clear or, with a token, over TLS.
//!
//! It reads to the end of the stream, since a member closes behind its reply. It does not judge what the reply says.

use crate::secure::Secure;
use rafty_wire::client::{Address, Scanner};
use smol::Timer;
use smol::future::FutureExt;
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use smol::net::TcpStream;
use std::io;
use std::time::Duration;

/// Longest reply: all that a dictionary may hold, and its frame.
pub(crate) const MAX_REPLY_LEN: usize = 128 * 1024 * 1024;

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The member cannot have read the whole request.
    NotSent(String),
    /// It may have.
    NoReply(String),
    /// It said why not before anything was sent: a word for programs, and words for people.
    Refused(String, String),
}

/// How long each part of an exchange may take.
pub(crate) struct Within {
    pub(crate) connect: Duration,
    /// From the request to the first byte of the reply.
    pub(crate) first: Duration,
    /// All of it behind connecting.
    pub(crate) answer: Duration,
}

/// Sends a request and waits for its reply, one whole MessagePack value.
pub(crate) async fn exchange(
    to: &Address,
    request: &[u8],
    secure: Option<&Secure>,
    times: Within,
) -> Result<Vec<u8>, Failure> {
    let Address(host, port) = to;
    let because = |why: &dyn std::fmt::Display| format!("{host}:{port}: {why}");
    let connect = within(times.connect, TcpStream::connect((host.as_str(), *port)));
    let stream = connect.await.map_err(|why| Failure::NotSent(because(&why)))?;
    let mut reply = Vec::new();
    let mut sent = Err(io::ErrorKind::TimedOut.into());
    let _ = stream.set_nodelay(true);
    let talk = async {
        match secure {
            None => Ok(talk(stream, request, times.first, &mut sent, &mut reply).await),
            Some(secure) => {
                let stream = secure.open(stream).await?;
                Ok(talk(stream, request, times.first, &mut sent, &mut reply).await)
            }
        }
    };
    let read = match within(times.answer, async { Ok(talk.await) }).await {
        Ok(Ok(read)) => read,
        Ok(Err(Failure::NotSent(why))) => return Err(Failure::NotSent(because(&why))),
        Ok(Err(failure)) => return Err(failure),
        Err(late) => Err(late),
    };
    match (Scanner::new(MAX_REPLY_LEN).feed(&reply), sent, read) {
        (Ok(Some(len)), _, _) if len == reply.len() => Ok(reply),
        (_, Err(why), _) => Err(Failure::NotSent(because(&why))),
        (Err(why), ..) => Err(Failure::NoReply(because(&format!("the reply cannot be read: {why}")))),
        (_, _, Err(why)) => Err(Failure::NoReply(because(&why))),
        _ => Err(Failure::NoReply(because(&"the connection ended before the reply did"))),
    }
}

/// Sends, notes whether that worked, and reads to the end.
async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
    first_within: Duration,
    sent: &mut io::Result<()>,
    reply: &mut Vec<u8>,
) -> io::Result<()> {
    *sent = async {
        stream.write_all(request).await?;
        stream.flush().await
    }
    .await;
    // A member that turns a client away says so without reading the request.
    let mut first = [0; 1];
    let read = within(first_within, stream.read(&mut first)).await?;
    reply.extend_from_slice(&first[..read]);
    stream.take(MAX_REPLY_LEN as u64).read_to_end(reply).await.map(drop)
}

pub(crate) async fn within<T>(time: Duration, io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = async {
        Timer::after(time).await;
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} ms", time.as_millis())))
    };
    io.or(late).await
}
