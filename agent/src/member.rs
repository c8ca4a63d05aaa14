//! Being a member, which a device and a laptop do alike.
//!
//! What a member then does is in the runtime; this only hands over what the command line says.

use crate::discovery::{self, Announcement};
use crate::{Failure, output, place, supervision};
use rafty_runtime::net::Sighting;
use rafty_runtime::{Lookout, MemberFile, Running, Trainer, up};
use serde_json::json;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long members are looked for on the local network at a time.
const SEARCH: Duration = Duration::from_secs(2);

/// Tells a newcomer on stdout that it is in.
///
/// # Errors
/// It cannot be printed.
pub fn welcome(member: &MemberFile, dir: &Path, json: bool, next: &str) -> Result<(), Failure> {
    let MemberFile { member, name, cluster, kind, listen, .. } = member;
    if json {
        return output::json(json!({
            "member": member, "name": name, "cluster": cluster, "kind": kind, "listen": listen, "dir": dir,
        }));
    }
    output::lines([
        format!("member {member} ({kind}) of `{name}` (cluster {cluster}) in {}", dir.display()),
        format!("start it with: {next}"),
    ])
}

/// How a member is to run.
#[derive(Clone, Debug, clap::Args)]
pub struct UpArgs {
    /// Tell only what does not work
    #[arg(long)]
    pub quiet: bool,
    /// Listen on this UDP address from now on
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Let others reach this member here from now on
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// Serve clients on this address from now on, under the port number of --listen: 0.0.0.0 for all. From other
    /// machines they need TLS and a token of `rafty client create`
    #[arg(long, value_name = "ADDR")]
    pub clients: Option<IpAddr>,
    /// The directory was moved here from another file system, and no other copy of it was used since
    #[arg(long)]
    pub moved: bool,
    /// Look for the others here, too, while no leader is heard: after all addresses have changed
    #[arg(long, value_name = "HOST:PORT")]
    pub peer: Vec<String>,
    /// Do not let newcomers find this member on the local network (mDNS), nor look for the others there
    #[arg(long)]
    pub no_discovery: bool,
    /// End when standard input ends, so that no process outlives whoever started it
    #[arg(long, hide = true)]
    pub exit_with_parent: bool,
}

/// Is a member until it is stopped. On SIGTERM and SIGINT it hands over first what it leads.
///
/// # Errors
/// When `dir` is no member's, another process has it, or the network cannot be used.
pub fn stay(dir: PathBuf, args: &UpArgs, trainer: Option<Box<dyn Trainer>>) -> Result<(), Failure> {
    stay_with_data(dir, args, trainer, None)
}

/// The same, where the member's data is at this path from now on.
pub(crate) fn stay_with_data(
    dir: PathBuf,
    args: &UpArgs,
    trainer: Option<Box<dyn Trainer>>,
    data: Option<PathBuf>,
) -> Result<(), Failure> {
    if args.exit_with_parent {
        std::thread::spawn(exit_with_stdin);
    }
    let advertise = args.advertise.as_deref().map(place::host_port_of).transpose()?;
    let UpArgs { quiet, listen, clients, moved, .. } = *args;
    let announcement = if args.no_discovery { Ok(None) } else { announce(&dir, listen) };
    let _announcement = announcement.unwrap_or_else(|why| {
        output::note(format_args!(
            "newcomers on the local network cannot find this member ({why}): give them its address"
        ));
        None
    });
    let supervisor = Some(supervision::supervisor());
    let lookout = lookout(&dir, args)?;
    let stop = None;
    Ok(up(Running {
        dir,
        trainer,
        quiet,
        data,
        listen,
        advertise,
        clients,
        moved,
        stop,
        supervisor,
        lookout,
    })?)
}

/// Where members may be when none is heard. Names are asked for anew each time: they may lead elsewhere by then.
fn lookout(dir: &Path, args: &UpArgs) -> Result<Option<Lookout>, Failure> {
    let peers: Vec<_> = args.peer.iter().map(|peer| place::host_port_of(peer)).collect::<Result<_, _>>()?;
    let Ok(member) = MemberFile::read(dir) else { return Ok(None) };
    let cluster = member.cluster;
    let discovers = !args.no_discovery && !args.listen.unwrap_or(member.listen).ip().is_loopback();
    Ok(Some(Arc::new(move || {
        let given = peers.iter().flat_map(|peer| peer.addresses().unwrap_or_default());
        let given = given.map(|address| Sighting { key_hash: None, address });
        let found = match discovers {
            true => discovery::search_all(cluster, SEARCH).unwrap_or_default(),
            false => Vec::new(),
        };
        given.chain(found).collect()
    })))
}

/// A member that cannot be read is the runtime's to tell of.
fn announce(dir: &Path, listen: Option<SocketAddr>) -> Result<Option<Announcement>, String> {
    let Ok(mut member) = MemberFile::read(dir) else { return Ok(None) };
    member.listen = listen.unwrap_or(member.listen);
    discovery::announce(&member)
}

/// Everything acknowledged is on disk, so a member may end at any time: there is nobody left to hand over for.
fn exit_with_stdin() {
    let mut ignored = [0; 64];
    while std::io::stdin().read(&mut ignored).is_ok_and(|read| read > 0) {}
    std::process::exit(0);
}
