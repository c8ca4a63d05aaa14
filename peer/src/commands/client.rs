//! `rafty client`: who may use the dictionary from other machines.

use super::{ask, do_it};
use rafty_agent::status::unexpected;
use rafty_agent::{Failure, args, output};
use rafty_runtime::operator::{ClientLine, Reply, Request};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// What to do about clients.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum ClientCommand {
    /// Make a token for a client
    Create {
        /// A name for the client
        #[arg(long)]
        name: String,
        /// The client only reads
        #[arg(long)]
        read_only: bool,
        /// For how long the token is good
        #[arg(long, value_parser = args::duration, value_name = "TIME", default_value = "30d")]
        ttl: Duration,
    },
    /// List the clients that have a token
    List,
    /// Make a client's token worth nothing
    Revoke {
        /// The client's name
        name: String,
    },
}

pub(crate) fn run(dir: &Path, command: ClientCommand, json: bool) -> Result<(), Failure> {
    match command {
        ClientCommand::Create { name, read_only, ttl } => create(dir, name, read_only, ttl, json),
        ClientCommand::List => list(dir, json),
        ClientCommand::Revoke { name } => {
            let done = format!("the token of `{name}` is worth nothing any more");
            do_it(dir, &Request::ClientRevoke { name }, &done, json)
        }
    }
}

fn create(dir: &Path, name: String, read_only: bool, ttl: Duration, json: bool) -> Result<(), Failure> {
    // The peer set counts in seconds; a shorter time would never let anybody in.
    let ttl_s = ttl.as_secs();
    if ttl_s == 0 {
        return Err(Failure::usage("--ttl must be at least 1s; nothing was changed"));
    }
    let (token, addresses, remote) = match ask(dir, &Request::ClientCreate { name, read_only, ttl_s })? {
        Reply::ClientToken { token, addresses, remote } => (token, addresses, remote),
        other => return Err(unexpected(&other)),
    };
    if json {
        let answer = json!({
            "token": token, "read_only": read_only, "ttl_s": ttl_s, "addresses": addresses, "remote": remote,
        });
        return output::json(answer);
    }
    output::line(&token)?;
    let members: Vec<_> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    output::note(format_args!("keep it secret; on the client's machine, within {ttl_s} s, in Python:"));
    output::note(format_args!("  DistributedDict([{}], token=TOKEN)", members.join(", ")));
    if remote.is_none() {
        output::note(
            "this member serves its own machine only; start each member with `up --clients 0.0.0.0`",
        );
    }
    Ok(())
}

fn list(dir: &Path, json: bool) -> Result<(), Failure> {
    let clients = match ask(dir, &Request::Clients)? {
        Reply::Clients { clients } => clients,
        other => return Err(unexpected(&other)),
    };
    if json {
        output::json(serde_json::to_string_pretty(&clients).expect("clients always encode"))?;
    } else {
        output::lines(clients.iter().map(describe))?;
    }
    Ok(())
}

fn describe(client: &ClientLine) -> String {
    let may = if client.read_only { "reads" } else { "reads and writes" };
    let until = match client.ttl_s {
        0 => "has expired".to_string(),
        ttl_s => format!("for {ttl_s} s more"),
    };
    format!("{}  {may}  {until}", client.name)
}
