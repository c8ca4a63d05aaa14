//! `recover` and `rejoin`: a set that lost most of its voters goes on with one survivor, and the others come back.
//!
//! Both work on the directory of a member that is stopped, and ask before they change anything.

use crate::{Failure, failure, output, place};
use rafty_runtime::recover::{RecoverError, RecoveryPreview, Survivor};
use rafty_runtime::rejoin::{RejoinError, Returning};
use rafty_types::time::in_words;
use serde_json::json;
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What an operator says to a recovery.
#[derive(Clone, Debug, clap::Args)]
pub struct RecoverArgs {
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Recover from this member although it does not vote and its log may lack more
    #[arg(long)]
    pub learner: bool,
}

/// What an operator says to a member that comes back.
#[derive(Clone, Debug, clap::Args)]
pub struct RejoinArgs {
    /// The address of a member of the recovered set, when it is not where it was
    #[arg(long, value_name = "HOST:PORT")]
    pub peer: Vec<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Give up what was written in this member's own branch of the set
    #[arg(long)]
    pub abandon_branch: bool,
}

/// Makes a new epoch of the set with the member in `dir` as the only voter.
///
/// # Errors
/// When the member runs, has nothing to recover, or cannot be used, or nobody agreed. Nothing is changed then.
pub fn recover(dir: &Path, args: &RecoverArgs, json: bool) -> Result<(), Failure> {
    let survivor = Survivor::open(dir)?;
    let preview = survivor.preview();
    if !preview.votes && !args.learner {
        return Err(Failure::refused(format!(
            "member {} does not vote, so its log may lack writes that a voter's has; nothing was changed; recover on a \
             voter ({}) that survived, or use --learner when none did",
            preview.survivor,
            numbers(&preview)
        )));
    }
    describe(&preview).iter().for_each(output::note);
    confirm(args.yes, "recover")?;
    let (from, me) = (preview.epoch, preview.survivor);
    let epoch = survivor.recover()?;
    if json {
        output::json(json!({ "recovered": preview.name, "member": me, "from": from, "epoch": epoch }))?;
    } else {
        output::note(format_args!(
            "`{}` goes on in epoch {epoch} with member {me} as the only voter: start it with `up`. Never run `recover` \
             on another member; bring each back with `rejoin`, and remove those that are lost with `members remove`",
            preview.name
        ));
    }
    Ok(())
}

/// Brings the member in `dir` back into the set that went on without it.
///
/// # Errors
/// When the member runs, nobody of a newer epoch answers, or nobody agreed. Nothing is changed then.
pub fn rejoin(dir: &Path, args: &RejoinArgs, json: bool) -> Result<(), Failure> {
    let peers = args.peer.iter().map(|peer| place::resolve(peer)).collect::<Result<Vec<_>, _>>()?;
    let returning = Returning::find(dir, &peers, args.abandon_branch)?;
    let (own, epoch) = returning.epochs();
    if own == epoch {
        output::note("this member runs on an older copy of its disk, or on one that looks like a copy");
    }
    output::note(format_args!("this member is in epoch {own}, and the set goes on in epoch {epoch}"));
    output::note("- its identity, data and models stay; it gets a new number and learns the set's state");
    output::note(format_args!(
        "- what was written in epoch {own} and is not in the set is not brought into it; the log is kept as log.damaged"
    ));
    confirm(args.yes, "rejoin")?;
    let member = returning.rejoin()?;
    if json {
        output::json(json!({ "rejoined": member.name, "member": member.member, "epoch": epoch }))?;
    } else {
        output::note(format_args!(
            "back in `{}` as member {}: start it with `up`",
            member.name, member.member
        ));
    }
    Ok(())
}

fn describe(preview: &RecoveryPreview) -> Vec<String> {
    let RecoveryPreview { name, survivor, epoch, last, committed, term, .. } = preview;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let stamped = Duration::from_millis(preview.stamped_ms);
    let age = match now.checked_sub(stamped) {
        _ if stamped.is_zero() => "of unknown age".to_string(),
        Some(age) => format!("written {} ago by its leader's clock", in_words(age)),
        None => "stamped later than this machine's clock".to_string(),
    };
    let mut lines = vec![format!(
        "`{name}` would go on from member {survivor}, out of epoch {epoch}, without these voters:"
    )];
    lines.extend(preview.missing.iter().map(|member| {
        let addresses: Vec<_> = member.addresses.iter().map(ToString::to_string).collect();
        format!("  - member {} at {}", member.id, addresses.join(", "))
    }));
    lines.extend([
        format!("- kept: every entry of this member's log, up to {last} (term {term}), {age}"),
        format!(
            "- entries after {committed} are not known to be committed; they are kept, since the lost majority may have \
             acknowledged them: a write whose outcome was unknown may come to count"
        ),
        format!("- lost: whatever was acknowledged after {last}"),
        "- if the others still run, they go on apart from it: stop them first, and recover one member only".into(),
    ]);
    lines
}

fn numbers(preview: &RecoveryPreview) -> String {
    let numbers: Vec<_> = preview.missing.iter().map(|member| format!("member {}", member.id)).collect();
    numbers.join(", ")
}

/// Waits for a person's yes.
fn confirm(yes: bool, what: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(Failure::usage(format!(
            "`{what}` asks before it changes anything, and there is no terminal; nothing was changed; use --yes"
        )));
    }
    output::note("Go on? Type yes:");
    let mut answer = String::new();
    match input.lock().read_line(&mut answer) {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err(Failure::new(failure::REFUSED, "not confirmed; nothing was changed")),
    }
}

impl From<RecoverError> for Failure {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Member(error) => error.into(),
            RecoverError::Alone { .. } | RecoverError::Newcomer => Self::refused(error),
            RecoverError::Write(_) => Self::unknown(error),
            other => Self::failed(other),
        }
    }
}

impl From<RejoinError> for Failure {
    fn from(error: RejoinError) -> Self {
        match error {
            RejoinError::Member(error) => error.into(),
            RejoinError::Setup(error) => error.into(),
            RejoinError::NothingToDo(_)
            | RejoinError::Older { .. }
            | RejoinError::Fork { .. }
            | RejoinError::OtherEpoch { .. } => Self::refused(error),
            other => Self::failed(other),
        }
    }
}
