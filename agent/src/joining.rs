//! Becoming a member with a token: at once for a person who waits, patiently for a device that boots before its network.

use crate::secret::Secret;
use crate::settings::Settings;
use crate::{Failure, discovery, output, place, supervision};
use rafty_runtime::MemberFile;
use rafty_runtime::setup::{Joining, SetupError, end_cleanly_on_signals, join_when_reached};
use rafty_seal::Token;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long members are looked for on the local network.
const SEARCH: Duration = Duration::from_secs(5);
/// How long a device that boots tries before it ends; its service manager starts it again.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// How long a person's `join` comes again while too many join: those of a whole room have joined by then.
const BUSY_FOR: Duration = Duration::from_secs(5 * 60);
/// The pause after the first try, and the longest one.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// What a newcomer says on the command line.
#[derive(Clone, Debug, clap::Args)]
pub struct JoinArgs {
    /// The token, as `rafty token create` printed it; - reads it from standard input and @FILE from a file, where other
    /// users of this machine do not see it
    pub token: Secret,
    /// The address of the member that made the token; without it, it is looked for on the local network
    #[arg(long, value_name = "HOST:PORT")]
    pub peer: Vec<String>,
    /// The UDP address to listen on [default: port 7400 on all addresses]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where others reach this member, when that is not where it listens
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
}

/// Joins the peer set: makes an identity in `dir`, and is enrolled.
///
/// # Errors
/// When the address, the token or the directory cannot be used, or the peer set refuses. `dir` is then as it was.
pub fn enter(dir: PathBuf, args: &JoinArgs, data: Option<PathBuf>) -> Result<MemberFile, Failure> {
    let advertise = place::advertised(args.advertise.as_deref())?;
    let token = args.token.read("the token")?.to_string();
    let listen = args.listen.unwrap_or_else(place::listen);
    let peers = addresses(&args.peer, &token, true)?;
    listen_for_signals()?;
    let joining = Joining { dir, token, peers, listen, advertise, data };
    let until = Instant::now() + BUSY_FOR;
    let again = |error: &SetupError| {
        let SetupError::Busy { after, .. } = error else { return None };
        if Instant::now() + *after >= until {
            return None;
        }
        output::note(format_args!("{error}; waits"));
        std::thread::sleep(*after);
        Some(joining.peers.clone())
    };
    Ok(join_when_reached(&joining, again)?)
}

/// Joins with what a device was provisioned with, and waits for its network.
///
/// # Errors
/// As [`enter`]; and when nobody was reached within an hour.
pub fn enter_patiently(dir: PathBuf, settings: &Settings) -> Result<MemberFile, Failure> {
    let Some(token) = &settings.token else {
        return Err(Failure::usage(format!(
            "{} is not the directory of a member and no token is set; nothing was changed; put rafty.toml with a token \
             on the boot partition and start again, or use `rafty-agent join`",
            dir.display()
        )));
    };
    // A name may not be known before there is a network.
    let advertise = settings.advertise.as_deref().map(place::host_port_of).transpose()?;
    let listen = settings.listen.unwrap_or_else(place::listen);
    let joining = Joining {
        dir,
        token: token.0.to_string(),
        // Asked for at the first try, as at every later one.
        peers: Vec::new(),
        listen,
        advertise,
        data: settings.data.clone(),
    };
    let until = Instant::now() + PATIENCE;
    let mut pause = Duration::ZERO;
    let again = |error: &SetupError| {
        if Instant::now() >= until || !is_passing(error) {
            return None;
        }
        let asked_to_wait = if let SetupError::Busy { after, .. } = error { *after } else { Duration::ZERO };
        let wait = pause.max(asked_to_wait);
        if wait > Duration::ZERO {
            output::note(format_args!("{error}; tries again in {} s", wait.as_secs_f64().ceil()));
        }
        supervision::starting("waits for the peer set", wait + SEARCH * 4);
        std::thread::sleep(wait);
        pause = (pause * 2).clamp(PAUSES[0], PAUSES[1]);
        // Names may not be known before there is a network: that passes, too.
        let found = addresses(&settings.peers, &joining.token, settings.discover);
        Some(found.unwrap_or_else(|failure| {
            output::note(&failure);
            Vec::new()
        }))
    };
    listen_for_signals()?;
    Ok(join_when_reached(&joining, again)?)
}

/// Whoever is tired of waiting leaves no keys behind.
///
/// # Errors
/// The system refused.
pub fn listen_for_signals() -> Result<(), Failure> {
    end_cleanly_on_signals()
        .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}; nothing was changed")))
}

/// Whether another try may go better.
fn is_passing(error: &SetupError) -> bool {
    matches!(error, SetupError::Unreachable { .. } | SetupError::Busy { .. } | SetupError::NobodyToAsk)
}

/// Those that are named; or, without any, those that are found.
fn addresses(peers: &[String], token: &str, discover: bool) -> Result<Vec<SocketAddr>, Failure> {
    if !peers.is_empty() {
        return peers.iter().map(|peer| place::resolve(peer)).collect();
    }
    let advice = "nothing was changed; give the address that `rafty token create` printed with --peer (in settings: peers)";
    if !discover {
        return Err(Failure::usage(format!(
            "no address of a peer is given, and `discover` is off; {advice}"
        )));
    }
    let token: Token =
        token.parse().map_err(|error| Failure::usage(format!("{error}; nothing was changed")))?;
    output::note("looks for the member that made the token on the local network");
    let found = discovery::search(token.cluster, token.responder, SEARCH)
        .map_err(|why| Failure::failed(format!("the local network cannot be searched ({why}); {advice}")))?;
    if found.is_empty() {
        return Err(Failure::failed(format!(
            "no member that knows this token answers on the local network within {} s; it may be on another network, \
             off, or multicast is blocked; {advice}",
            SEARCH.as_secs()
        )));
    }
    found.iter().for_each(|address| output::note(format_args!("found it at {address}")));
    Ok(found)
}
