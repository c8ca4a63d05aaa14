//! Where operators' requests arrive: the server side of the socket.
//!
//! It reads one request a line, hands it to the loop and writes what comes back. What a request means is in
//! `answers`.

use crate::operator::{MAX_LINE, Reply, Request, socket_path};
use crate::shell::LoopEvent;
use smol::channel::{Receiver, Sender, bounded};
use smol::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use smol::net::unix::{UnixListener, UnixStream};
use smol::{Executor, Timer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long nobody is let in after the system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How many lines may wait for a slow reader before it is cut off.
const LINES: usize = 1_024;

/// Longest request line, in bytes, that is read on the loop's thread.
const READ_AT_ONCE: usize = 64 * 1024;

/// A line for a person.
pub(crate) enum Line {
    /// As it is.
    Text(String),
    /// Written on another thread, since it may be long.
    Later(Box<dyn FnOnce() -> String + Send>),
}

/// A person's request and the way back.
pub(crate) struct Call {
    pub(crate) request: Request,
    lines: Sender<Line>,
}

impl Call {
    /// Answers. A person who has gone does not hear it.
    pub(crate) fn answer(&self, reply: &Reply) {
        let _ = self.lines.try_send(Line::Text(encode(reply)));
    }

    /// Answers by what may be long: it is made and encoded beside the loop.
    pub(crate) fn answer_later(&self, reply: impl FnOnce() -> Reply + Send + 'static) {
        let _ = self.lines.try_send(Line::Later(Box::new(move || encode(&reply()))));
    }

    /// Says what went wrong.
    pub(crate) fn refuse(&self, error: impl ToString) {
        self.answer(&Reply::Error { error: error.to_string(), unknown: false });
    }

    /// Says that nobody knows whether it counts.
    pub(crate) fn leave_open(&self, error: impl ToString) {
        self.answer(&Reply::Error { error: error.to_string(), unknown: true });
    }

    /// The way to somebody who follows events.
    pub(crate) fn follower(&self) -> Sender<Line> {
        self.lines.clone()
    }
}

fn encode(reply: &Reply) -> String {
    serde_json::to_string(reply).expect("a reply always encodes")
}

/// The listening socket; its file goes when the listener goes.
pub(crate) struct OperatorListener {
    path: PathBuf,
}

impl OperatorListener {
    /// Opens the listener of the member in `dir`.
    pub(crate) fn open(
        executor: &Arc<Executor<'static>>,
        dir: &Path,
        events: Sender<LoopEvent>,
    ) -> Result<Self, crate::up::UpError> {
        let path = socket_path(dir).map_err(|error| crate::up::UpError::Socket(error.to_string()))?;
        // The directory is locked by this process: a socket that is there was left by one that was killed.
        let _ = std::fs::remove_file(&path);
        let socket = |error: std::io::Error| crate::up::UpError::Socket(error.to_string());
        let listener = UnixListener::bind(&path).map_err(socket)?;
        let tasks = executor.clone();
        let serve = async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // No more files, most likely: some will be closed. Nobody else can open the listener again.
                    Timer::after(ACCEPT_PAUSE).await;
                    continue;
                };
                let events = events.clone();
                // A person who hangs up is no trouble.
                tasks.spawn(async move { drop(serve(stream, events).await) }).detach();
            }
        };
        executor.spawn(serve).detach();
        Ok(Self { path })
    }
}

impl Drop for OperatorListener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve(stream: UnixStream, events: Sender<LoopEvent>) -> std::io::Result<()> {
    let mut requests = BufReader::new(stream.clone()).take(MAX_LINE);
    let mut line = String::new();
    while requests.read_line(&mut line).await? > 0 {
        let (lines, replies) = bounded(LINES);
        let (request, back) = match line.len() {
            0..READ_AT_ONCE => (serde_json::from_str(&line), line),
            _ => smol::unblock(move || (serde_json::from_str(&line), line)).await,
        };
        line = back;
        match request {
            Ok(request) => {
                if events.send(LoopEvent::Called(Call { request, lines })).await.is_err() {
                    return Ok(());
                }
            }
            Err(error) => Call { request: Request::Status, lines }
                .refuse(format!("the request is not readable: {error}")),
        }
        write(stream.clone(), replies).await?;
        line.clear();
        requests.set_limit(MAX_LINE);
    }
    Ok(())
}

async fn write(mut stream: UnixStream, replies: Receiver<Line>) -> std::io::Result<()> {
    while let Ok(line) = replies.recv().await {
        let mut reply = match line {
            Line::Text(text) => text,
            Line::Later(make) => smol::unblock(make).await,
        };
        reply.push('\n');
        stream.write_all(reply.as_bytes()).await?;
    }
    stream.flush().await
}
