//! Secrets on a command line: every user of a machine sees a program's arguments, so an argument can say where the secret
//! is instead of what it is.

use crate::{Failure, output};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use zeroize::Zeroizing;

/// Longest line that holds a secret, in bytes.
const MAX_LEN: usize = 4096;

/// An argument that is a secret, or says where one is: `-` is the first line of standard input, `@FILE` that of a file.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl From<&str> for Secret {
    fn from(argument: &str) -> Self {
        Self(Zeroizing::new(argument.into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// The secret itself, without blanks around it. On a terminal it is asked for as `what`.
    ///
    /// # Errors
    /// It cannot be read, or there is none.
    pub fn read(&self, what: &str) -> Result<Zeroizing<String>, Failure> {
        let (from, line) = match self.0.strip_prefix('@') {
            _ if *self.0 == "-" => ("standard input".into(), standard_input(what)),
            Some(file) => {
                (format!("the file {file}"), File::open(file).map(BufReader::new).and_then(first_line))
            }
            None => return Ok(self.0.clone()),
        };
        let failed = |why: &dyn fmt::Display| {
            Failure::usage(format!("{what} cannot be read from {from}: {why}; nothing was changed"))
        };
        let secret = line.map_err(|error| failed(&error))?;
        if secret.is_empty() {
            return Err(failed(&"its first line is empty; put it there"));
        }
        Ok(secret)
    }
}

fn standard_input(what: &str) -> io::Result<Zeroizing<String>> {
    let input = io::stdin().lock();
    if input.is_terminal() {
        output::note(format_args!("{what}, and Enter:"));
    }
    first_line(input)
}

fn first_line(source: impl BufRead) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::with_capacity(MAX_LEN + 1));
    source.take(MAX_LEN as u64 + 1).read_line(&mut line)?;
    if line.len() > MAX_LEN {
        return Err(io::Error::other(format!("its first line has more than {MAX_LEN} bytes")));
    }
    Ok(Zeroizing::new(line.trim().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(argument: &str) -> Result<Zeroizing<String>, Failure> {
        Secret::from(argument).read("the token")
    }

    #[test]
    fn a_secret_is_the_first_line_of_a_file_or_the_argument_itself() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let argument = format!("@{}", file.display());
        assert_eq!(*read("rafty1-abc").unwrap(), "rafty1-abc");
        for text in ["rafty1-abc", "  rafty1-abc \r\nmore\n"] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(*read(&argument).unwrap(), "rafty1-abc");
        }
        for (text, said) in [
            ("", "is empty"),
            ("\nrafty1-abc", "is empty"),
            (&*"x".repeat(MAX_LEN + 1), "more than 4096 bytes"),
        ] {
            std::fs::write(&file, text).unwrap();
            let failure = read(&argument).unwrap_err();
            assert!(failure.message.contains(said) && !failure.message.contains("xx"), "{failure}");
            assert_eq!(failure.code, crate::failure::USAGE);
        }
        assert!(read("@/no/such/file").unwrap_err().message.contains("/no/such/file"));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::from("rafty1-abc")), "Secret(..)");
    }
}
