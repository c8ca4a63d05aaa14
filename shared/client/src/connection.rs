//! A connection that is kept: request after request to one member, in clear or, with a token, over TLS.
//!
//! It follows no redirect and tries nothing again; [`ClusterClient`](crate::ClusterClient) does, with a connection for
//! each request. This is for who sends many and wants to handle that alone.

use crate::exchange::{Failure, MAX_REPLY_LEN, within};
use crate::secure::Secure;
use crate::{ClientError, address};
use futures_rustls::client::TlsStream;
use rafty_wire::client::{Address, Ask, Request, Scanner};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;
use std::io;
use std::time::Duration;

/// How long connecting, and how long an answer may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// A kept connection. After an error it is of no more use.
pub struct Connection {
    stream: Stream,
    secure: Option<Secure>,
    chunk: Vec<u8>,
}

enum Stream {
    Clear(TcpStream),
    Sealed(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Connects to the member at `HOST:PORT`. With a token, the member must prove to know it before it is used.
    ///
    /// # Errors
    /// [`ClientError::BadAddress`], [`ClientError::BadToken`], [`ClientError::Unreachable`], [`ClientError::Refused`].
    pub async fn open(member: &str, token: Option<&str>) -> Result<Self, ClientError> {
        let Address(host, port) = address::parse(member)?;
        let secure = token.map(Secure::by_token).transpose()?;
        let unreachable =
            |why: &dyn std::fmt::Display| ClientError::Unreachable(format!("{host}:{port}: {why}"));
        let stream = within(CONNECT_WITHIN, TcpStream::connect((host.as_str(), port)));
        let stream = stream.await.map_err(|why| unreachable(&why))?;
        stream.set_nodelay(true).map_err(|why| unreachable(&why))?;
        let stream = match &secure {
            None => Stream::Clear(stream),
            Some(secure) => match within(CONNECT_WITHIN, async { Ok(secure.open(stream).await) }).await {
                Ok(Ok(stream)) => Stream::Sealed(Box::new(stream)),
                Ok(Err(Failure::Refused(code, detail))) => return Err(ClientError::Refused { code, detail }),
                Ok(Err(Failure::NotSent(why) | Failure::NoReply(why))) => return Err(unreachable(&why)),
                Err(why) => return Err(unreachable(&why)),
            },
        };
        Ok(Self { stream, secure, chunk: vec![0; CHUNK] })
    }

    /// Asks, and gives the bytes of the reply, whatever it says.
    ///
    /// # Errors
    /// [`ClientError::UnknownOutcome`]: no reply came, and whether a change counts is not known.
    pub async fn ask(&mut self, ask: Ask) -> Result<Vec<u8>, ClientError> {
        let token = self.secure.as_ref().map(|secure| secure.token().clone());
        let request = Request { ask, keep: true, timeout: None, token, forward: true };
        let request = zeroize::Zeroizing::new(request.encode());
        let reply = within(ANSWER_WITHIN, self.exchange(&request)).await;
        reply.map_err(|why| ClientError::UnknownOutcome(why.to_string()))
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        match &mut self.stream {
            Stream::Clear(stream) => stream.write_all(request).await?,
            Stream::Sealed(stream) => {
                stream.write_all(request).await?;
                stream.flush().await?;
            }
        }
        let (mut reply, mut scanner) = (Vec::new(), Scanner::new(MAX_REPLY_LEN));
        loop {
            let read = match &mut self.stream {
                Stream::Clear(stream) => stream.read(&mut self.chunk).await?,
                Stream::Sealed(stream) => stream.read(&mut self.chunk).await?,
            };
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            reply.extend_from_slice(&self.chunk[..read]);
            match scanner.feed(&self.chunk[..read]) {
                Ok(None) => {}
                // One is asked at a time, so nothing may follow.
                Ok(Some(len)) if len == reply.len() => return Ok(reply),
                _ => return Err(io::Error::other("the reply is not one value of MessagePack")),
            }
        }
    }
}
