//! Reads command lines: what both programs accept alike, and errors in one line.
//!
//! It does not know any command.

use crate::{Failure, failure, output};
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::time::Duration;

/// Reads a command line, the program's name first. Help and version are printed and end the process.
///
/// # Errors
/// What is wrong with it, in one line; or help cannot be printed.
pub fn parse<C: clap::Parser, A: Into<OsString> + Clone>(
    arguments: impl IntoIterator<Item = A>,
) -> Result<C, Failure> {
    C::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            match output::exact(&error.render().to_string()) {
                Ok(()) => std::process::exit(i32::from(failure::DONE)),
                Err(failure) => failure,
            }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            error.render().to_string().lines().for_each(output::note);
            std::process::exit(i32::from(failure::USAGE))
        }
        _ => Failure::usage(one_line(&error.to_string())),
    })
}

/// What clap has to say, without its usage and its advice to ask for help.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let said: Vec<&str> =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")).collect();
    format!("{}; nothing was changed; see --help", said.join(" ").trim_start_matches("error: "))
}

/// Reads a duration: a whole number and one of `ms`, `s`, `m`, `h`, `d`.
///
/// # Errors
/// In words, when it is something else.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("a number with ms, s, m, h or d is expected, as in 90s".into()),
    };
    let number: u64 =
        number.parse().map_err(|_| "a number with a unit is expected, as in 90s".to_string())?;
    number.checked_mul(ms).map(Duration::from_millis).ok_or_else(|| "it is too long".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        for wrong in ["", "5", "s", "-5s", "5 s", "1.5h", "99999999999999999999s", "18446744073709551615d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_clap_says_becomes_one_line() {
        let said = "error: the following required arguments were not provided:\n  <TOKEN>\n\nUsage: x\n";
        let line =
            "the following required arguments were not provided: <TOKEN>; nothing was changed; see --help";
        assert_eq!(one_line(said), line);
    }
}
