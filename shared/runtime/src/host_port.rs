//! `HOST:PORT`, kept as it was given: what a name means may change, and is asked for anew whenever it is needed.

use rafty_types::MAX_HELLO_NAME_LEN;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// Addresses of one name that are taken; a name may have any number.
const MAX_ADDRESSES: usize = 32;

/// A host by name or address, and a port from 1 to 65535.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPort(String);

/// A text is no [`HostPort`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPortError {
    /// It ends with no port.
    #[error("it has no port")]
    NoPort,
    /// It is something else.
    #[error("it needs a host and a port from 1 to 65535")]
    Form,
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError::NoPort)?;
        let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        let is_odd = |char: char| char.is_whitespace() || char.is_control();
        if host.is_empty() || host.contains(is_odd) || !is_port || text.len() > MAX_HELLO_NAME_LEN {
            return Err(HostPortError::Form);
        }
        Ok(Self(text.into()))
    }
}

impl HostPort {
    /// All addresses that it means now, IPv4 first since members listen there by default. Asks the system, which may take
    /// seconds.
    ///
    /// # Errors
    /// What the system says about the name.
    pub fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        let mut found: Vec<_> = self.0.to_socket_addrs()?.take(MAX_ADDRESSES).collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        Ok(found)
    }

    /// The address that it means now, if it is known.
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses().ok()?.first().copied()
    }

    /// The address that is meant for good; none for a name.
    pub fn fixed(&self) -> Option<SocketAddr> {
        self.0.parse().ok()
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self(address.to_string())
    }
}

impl TryFrom<String> for HostPort {
    type Error = HostPortError;

    fn try_from(text: String) -> Result<Self, HostPortError> {
        text.parse()
    }
}

impl From<HostPort> for String {
    fn from(host_port: HostPort) -> Self {
        host_port.0
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_host_and_a_port_and_is_kept_as_it_was_given() {
        let parsed = |text: &str| text.parse::<HostPort>();
        for good in ["127.0.0.1:7400", "[::1]:7400", "laptop.local:7400", "localhost:1"] {
            assert_eq!(parsed(good).unwrap().to_string(), good);
        }
        assert_eq!(parsed("[::1]:7400").unwrap().fixed(), Some("[::1]:7400".parse().unwrap()));
        assert_eq!(parsed("localhost:7400").unwrap().fixed(), None);
        assert!(parsed("localhost:7400").unwrap().address().unwrap().ip().is_loopback());
        let long = format!("{}:1", "a".repeat(300));
        for junk in ["", "localhost", "localhost:", ":7400", "a:0", "a:65536", "a b:1", "a\n:1", &long] {
            assert!(parsed(junk).is_err(), "{junk}");
        }
        assert_eq!(parsed("no-such-name.invalid:7400").unwrap().address(), None);
    }
}
