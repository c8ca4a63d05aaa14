//! `rafty token`: admits newcomers.

use super::ask;
use rafty_agent::status::unexpected;
use rafty_agent::{Failure, args, output};
use rafty_runtime::operator::{Reply, Request};
use rafty_types::MemberKind;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// What a token admits.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TokenArgs {
    /// What the newcomer will be
    #[arg(long, value_enum, default_value = "agent")]
    role: Role,
    /// For how long it admits
    #[arg(long, value_parser = args::duration, value_name = "TIME", default_value = "1h")]
    ttl: Duration,
    /// How many newcomers it admits
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,
    /// The newcomer trains and votes, but is never aggregator
    #[arg(long)]
    never_leads: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Role {
    #[value(alias = "peer")]
    Operator,
    Agent,
}

pub(crate) fn create(dir: &Path, args: &TokenArgs, json: bool) -> Result<(), Failure> {
    let role = match args.role {
        Role::Operator => MemberKind::Operator,
        Role::Agent => MemberKind::Agent,
    };
    // The peer set counts in seconds; a shorter time would never admit anybody.
    let ttl_s = args.ttl.as_secs();
    if ttl_s == 0 {
        return Err(Failure::usage("--ttl must be at least 1s; nothing was changed"));
    }
    let request = Request::TokenCreate { role, ttl_s, uses: args.uses, may_lead: !args.never_leads };
    let (token, addresses, room) = match ask(dir, &request)? {
        Reply::Token { token, addresses, room } => (token, addresses, room),
        other => return Err(unexpected(&other)),
    };
    if json {
        return output::json(
            json!({ "token": token, "role": role, "ttl_s": ttl_s, "addresses": addresses, "room": room }),
        );
    }
    output::line(&token)?;
    output::note(room);
    let peer = addresses.first().map_or("HOST:PORT".into(), ToString::to_string);
    output::note(format_args!("on the newcomer, within {ttl_s} s (it asks for the token):"));
    match role {
        MemberKind::Agent => {
            output::note(format_args!("  rafty-agent join - --peer {peer} --data PATH && rafty-agent up"))
        }
        MemberKind::Operator => output::note(format_args!("  rafty join - --peer {peer} && rafty up")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Role;
    use clap::ValueEnum;

    #[test]
    fn an_operator_may_still_be_called_a_peer() {
        for word in ["operator", "peer"] {
            assert!(matches!(Role::from_str(word, false), Ok(Role::Operator)), "{word}");
        }
    }
}
