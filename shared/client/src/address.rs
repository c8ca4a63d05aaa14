//! Addresses as people write them.

use crate::ClientError;
use rafty_wire::client::Address;

/// Reads `HOST:PORT`, where an IPv6 host stands in brackets.
pub(crate) fn parse(text: &str) -> Result<Address, ClientError> {
    let bad = || ClientError::BadAddress(text.to_string());
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']').ok_or_else(bad)?,
        None if host.contains(':') => return Err(bad()),
        None => host,
    };
    match port.parse() {
        Ok(port) if port > 0 && !host.is_empty() => Ok(Address(host.to_string(), port)),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_numbers_and_ports_are_needed() {
        let good = |host: &str, port| Ok(Address(host.to_string(), port));
        assert_eq!(parse("laptop.local:7400"), good("laptop.local", 7400));
        assert_eq!(parse("127.0.0.1:1"), good("127.0.0.1", 1));
        assert_eq!(parse("[::1]:7400"), good("::1", 7400));
        for bad in ["", "laptop", "laptop:", ":7400", "laptop:0", "laptop:65536", "::1:7400", "[::1:7400"] {
            assert_eq!(parse(bad), Err(ClientError::BadAddress(bad.to_string())));
        }
    }
}
