//! Where a member lives: its directory on disk and addresses on the network.
//!
//! It creates nothing and connects to nothing.

use crate::Failure;
use rafty_runtime::{HostPort, HostPortError};
use std::env;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The port on which members listen unless told otherwise, UDP.
const PORT: u16 = 7400;

/// Where members listen unless told otherwise: everywhere over IPv4, or over both where a machine has IPv6 only.
pub fn listen() -> SocketAddr {
    let any: IpAddr = match rafty_runtime::has_only_ipv6() {
        true => Ipv6Addr::UNSPECIFIED.into(),
        false => Ipv4Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(any, PORT)
}

/// The directory of a member: what `--dir` says, or `RAFTY_DIR`, or `name` in the user's data directory. Absolute,
/// so that what is told about it stays true elsewhere.
///
/// # Errors
/// When nothing says where the user's data directory is.
pub fn directory(given: Option<&Path>, name: &str) -> Result<PathBuf, Failure> {
    let dir = match given {
        Some(dir) => dir.to_path_buf(),
        None => chosen(|variable| env::var_os(variable).map(PathBuf::from), name).ok_or_else(|| {
            Failure::usage("neither HOME nor RAFTY_DIR is set; nothing was changed; give --dir")
        })?,
    };
    absolute(&dir, "--dir")
}

/// The path that `argument` gives, absolute and as [`text`]. It need not exist.
///
/// # Errors
/// When it is empty, or not UTF-8.
pub fn absolute(path: &Path, argument: &str) -> Result<PathBuf, Failure> {
    let absolute = std::path::absolute(path).map_err(|error| {
        Failure::usage(format!("{argument} {} cannot be used: {error}; nothing was changed", path.display()))
    })?;
    text(&absolute, argument).map(PathBuf::from)
}

/// The path that `argument` gives, as text: settings, answers in JSON and a member's file can name no other one.
///
/// # Errors
/// When it is not UTF-8.
pub fn text<'a>(path: &'a Path, argument: &str) -> Result<&'a str, Failure> {
    path.to_str().ok_or_else(|| {
        let shown = path.display();
        Failure::usage(format!(
            "{argument} {shown} is not UTF-8; nothing was changed; rename it, or give it by a link with another name"
        ))
    })
}

fn chosen(variable: impl Fn(&str) -> Option<PathBuf>, name: &str) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    set("RAFTY_DIR")
        .or_else(|| set("XDG_DATA_HOME").map(|data| data.join(name)))
        .or_else(|| set("HOME").map(|home| home.join(".local/share").join(name)))
}

/// The address that `HOST:PORT` means. A name may mean several; an IPv4 one is preferred, since members listen on
/// IPv4 by default.
///
/// # Errors
/// When it is not of that form, or the name is unknown.
pub fn resolve(host_port: &str) -> Result<SocketAddr, Failure> {
    let found = host_port_of(host_port)?.addresses().map_err(|error| wrong(host_port, &error.to_string()))?;
    found.first().copied().ok_or_else(|| wrong(host_port, "the name has no address"))
}

/// What a person gave as `HOST:PORT`; whether a name is known is not looked at.
///
/// # Errors
/// When it is not of that form.
pub fn host_port_of(text: &str) -> Result<HostPort, Failure> {
    text.parse().map_err(|error: HostPortError| wrong(text, &error.to_string()))
}

/// The same for what a newcomer advertises, whose name must be known: whoever joins is to be found.
///
/// # Errors
/// When it is not of that form, or the name is unknown.
pub fn advertised(text: Option<&str>) -> Result<Option<HostPort>, Failure> {
    let known = |text: &str| resolve(text).and_then(|_| host_port_of(text));
    text.map(known).transpose()
}

fn wrong(host_port: &str, why: &str) -> Failure {
    let try_this = "nothing was changed; give it as HOST:PORT, such as laptop.local:7400";
    Failure::usage(format!("the address `{host_port}` cannot be used: {why}; {try_this}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_the_first_that_is_named() {
        let all = |name: &str| Some(PathBuf::from(format!("/{name}")));
        assert_eq!(chosen(all, "rafty"), Some("/RAFTY_DIR".into()));
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/a"));
        assert_eq!(chosen(home, "rafty"), Some("/home/a/.local/share/rafty".into()));
        let data = |name: &str| Some(PathBuf::from(if name == "XDG_DATA_HOME" { "/data" } else { "" }));
        assert_eq!(chosen(data, "rafty-agent"), Some("/data/rafty-agent".into()));
        assert_eq!(chosen(|_| None, "rafty"), None);
    }

    #[test]
    fn a_path_that_is_no_text_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/tmp/caf\xe9"));
        let failure = directory(Some(path), "rafty").unwrap_err();
        assert_eq!(failure.code, crate::failure::USAGE);
        assert!(failure.message.contains("--dir") && failure.message.contains("not UTF-8"), "{failure}");
    }

    #[test]
    fn addresses_are_hosts_with_ports() {
        assert_eq!(resolve("127.0.0.1:7400").unwrap(), "127.0.0.1:7400".parse().unwrap());
        assert_eq!(resolve("[::1]:7400").unwrap(), "[::1]:7400".parse().unwrap());
        assert_eq!(resolve("localhost:7400").unwrap().port(), 7400);
        for wrong in ["", "localhost", "localhost:", ":7400", "localhost:0", "localhost:65536", "a b:1"] {
            let failure = resolve(wrong).unwrap_err();
            assert_eq!(failure.code, crate::failure::USAGE, "{wrong}");
            assert!(failure.message.contains("nothing was changed"), "{wrong}");
        }
    }
}
