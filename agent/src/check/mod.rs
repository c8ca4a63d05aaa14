//! `check`: what would keep this device from being a good member, before it is one or while it is; and how to mend it.
//!
//! It changes nothing, and sends nothing but a handshake and pings to members. What it finds is a table of
//! [`Finding`]s, one for each thing looked at.

mod learning;
mod machine;
mod network;

use crate::settings::Settings;
use crate::{Failure, output, place};
use serde::Serialize;
use std::path::PathBuf;

/// What is looked at beyond the settings.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct CheckArgs {
    /// A task to hold the data and the memory against; by default that of the newest model here
    #[arg(long, value_name = "FILE")]
    task: Option<PathBuf>,
}

/// How well one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CheckResult {
    Ok,
    /// It works, but not well.
    Warning,
    /// It keeps the device from being a member, or from training.
    Problem,
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    check: &'static str,
    standing: CheckResult,
    found: String,
    /// How to mend it; empty when there is nothing to mend.
    fix: String,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, standing: CheckResult::Ok, found: found.into(), fix: String::new() }
    }

    fn warning(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, standing: CheckResult::Warning, found: found.into(), fix: fix.into() }
    }

    fn problem(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, standing: CheckResult::Problem, found: found.into(), fix: fix.into() }
    }
}

/// Looks at everything, and prints it.
///
/// # Errors
/// When there is a problem, after all is printed.
pub(crate) fn run(settings: &Settings, args: &CheckArgs, json: bool) -> Result<(), Failure> {
    let dir = place::directory(settings.dir.as_deref(), "rafty-agent")?;
    let mut findings = vec![machine::clock(&dir), machine::membership(&dir, settings), machine::disk(&dir)];
    findings.extend(machine::directory(&dir));
    findings.push(network::port(&dir, settings));
    findings.extend(network::peers(&dir, settings));
    findings.extend(learning::findings(&dir, settings, args.task.as_deref()));
    if json {
        output::json(serde_json::to_string_pretty(&findings).expect("findings always encode"))?;
    } else {
        output::lines(table(&findings))?;
    }
    let problems = findings.iter().filter(|finding| finding.standing == CheckResult::Problem).count();
    match problems {
        0 => Ok(()),
        1 => Err(Failure::failed("1 problem was found; nothing was changed")),
        many => Err(Failure::failed(format!("{many} problems were found; nothing was changed"))),
    }
}

fn table(findings: &[Finding]) -> Vec<String> {
    let mut lines = vec!["CHECK      RESULT   FOUND".to_string()];
    for Finding { check, standing, found, fix } in findings {
        let standing = match standing {
            CheckResult::Ok => "ok",
            CheckResult::Warning => "warning",
            CheckResult::Problem => "PROBLEM",
        };
        // What it found may have a line for each reason.
        let (found, more) = found.split_once('\n').unwrap_or((found, ""));
        lines.push(format!("{check:<10} {standing:<8} {found}"));
        lines.extend(more.lines().map(|line| format!("{:20}{line}", "")));
        if !fix.is_empty() {
            lines.push(format!("{:20}fix: {fix}", ""));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_and_a_second_one_to_mend_it() {
        let findings = [
            Finding::ok("clock", "it is 2026\n  in May"),
            Finding::problem("disk", "it is full", "delete something"),
        ];
        assert_eq!(
            table(&findings),
            [
                "CHECK      RESULT   FOUND",
                "clock      ok       it is 2026",
                "                      in May",
                "disk       PROBLEM  it is full",
                "                    fix: delete something"
            ]
        );
    }
}
