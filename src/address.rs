//! Where a node listens and how others reach it. Here, below everything else, because the configuration, the
//! client and the command line all read the same notation.

use std::fmt;

/// The port that a node serves clients on unless told otherwise.
pub const DEFAULT_CLIENT_PORT: u16 = 2379;

/// A host and a port: `127.0.0.1:2379`, `node-1.example:2379` or `[::1]:2379`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// A name or an address; IPv6 without its brackets.
    pub host: String,
    /// The port, never 0.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`. The error says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some((_, rest)) = text.split_once("://") {
            let here = Self::parse(rest.trim_end_matches('/')).map(|address| format!(", here {address}"));
            return Err(format!("`{text}` is a URL; write HOST:PORT{}", here.unwrap_or_default()));
        }
        Self::parse_as(text, "HOST:PORT")
    }

    /// `form` is what to write instead of a wrong text.
    fn parse_as(text: &str, form: &str) -> Result<Self, String> {
        let (host, port) =
            text.rsplit_once(':').ok_or_else(|| format!("`{text}` has no port; write {form}"))?;
        let host = parse_host(host, text, form)?;
        match port.parse::<u16>() {
            Ok(0) => Err(format!("`{text}` has port 0, which nobody could connect to; choose a port")),
            Ok(port) => Ok(Self { host, port }),
            Err(_) => Err(format!("`{port}` in `{text}` is not a port; write a number from 1 to 65535")),
        }
    }

    /// Whether it means "every address of this machine", which is good for
    /// listening but not for being found.
    pub fn is_wildcard(&self) -> bool {
        self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_unspecified())
    }

    /// Whether only this machine reaches it.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

fn parse_host(host: &str, whole: &str, form: &str) -> Result<String, String> {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match inner.parse::<std::net::Ipv6Addr>() {
            Ok(_) => Ok(inner.to_owned()),
            Err(_) => Err(format!("`{inner}` in `{whole}` is not an IPv6 address")),
        };
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() {
        return Err(format!("`{whole}` has no host; write {form}"));
    }
    if host.contains(':') {
        return Err(format!("an IPv6 address needs brackets, as in `[::1]:2379`; got `{whole}`"));
    }
    if host.chars().all(plain) {
        Ok(host.to_owned())
    } else {
        Err(format!("`{host}` in `{whole}` is not a host name"))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The address of a node as others dial it: `http://host:port`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeUrl(pub HostPort);

impl NodeUrl {
    /// Reads `http://host:port`, with or without a `/` at the end. The error
    /// says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            let here = HostPort::parse(text).map(|address| format!(", here http://{address}"));
            return Err(format!("`{text}` is not a URL; write http://HOST:PORT{}", here.unwrap_or_default()));
        };
        match scheme {
            "http" => {}
            "https" => {
                return Err(format!("`{text}` asks for TLS, which kontiki does not have yet; use http://"));
            }
            other => {
                return Err(format!("`{text}` has the scheme `{other}`; write http://HOST:PORT"));
            }
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(format!("`{text}` has more than a host and a port; write http://HOST:PORT"));
        }
        HostPort::parse_as(rest, "http://HOST:PORT").map(Self)
    }

    /// Reads what a person writes for a node to ask: `http://` and the port may be left out.
    pub fn parse_endpoint(text: &str) -> Result<Self, String> {
        let address = match text.split_once("://") {
            None => text,
            Some(("http", rest)) => rest.strip_suffix('/').unwrap_or(rest),
            Some(_) => return Self::parse(text),
        };
        let has_port = if address.starts_with('[') { !address.ends_with(']') } else { address.contains(':') };
        match has_port || address.is_empty() {
            true => Self::parse(&format!("http://{address}")),
            false => Self::parse(&format!("http://{address}:{DEFAULT_CLIENT_PORT}")),
        }
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{HostPort, NodeUrl};

    #[test]
    fn names_and_addresses_of_both_families_are_read_and_written_back() {
        for text in ["127.0.0.1:2379", "node-1.kontiki_default:1", "[::1]:65535"] {
            assert_eq!(HostPort::parse(text).unwrap().to_string(), text);
            let url = format!("http://{text}");
            assert_eq!(NodeUrl::parse(&url).unwrap().to_string(), url);
            assert_eq!(NodeUrl::parse(&format!("{url}/")).unwrap().to_string(), url);
        }
    }

    #[test]
    fn of_an_endpoint_scheme_and_port_may_be_left_out() {
        for (text, url) in [
            ("localhost:2381", "http://localhost:2381"),
            ("n1", "http://n1:2379"),
            ("http://n1/", "http://n1:2379"),
            ("[::1]", "http://[::1]:2379"),
            ("[::1]:1", "http://[::1]:1"),
            ("http://127.0.0.1:7/", "http://127.0.0.1:7"),
        ] {
            assert_eq!(NodeUrl::parse_endpoint(text).unwrap().to_string(), url);
        }
        for wrong in ["", "https://n1", "ftp://n1", "n1:x", "n1/x", "::1", "http://"] {
            assert!(NodeUrl::parse_endpoint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bad_address_is_refused_with_what_is_wrong() {
        for (text, fragment) in [
            ("localhost", "has no port"),
            (":2379", "has no host"),
            ("h:0", "port 0"),
            ("h:65536", "is not a port"),
            ("::1:2379", "needs brackets"),
            ("http://127.0.0.1:6379", "is a URL; write HOST:PORT, here 127.0.0.1:6379"),
            ("http://n1", "is a URL; write HOST:PORT"),
            ("[::g]:1", "not an IPv6 address"),
            ("a b:1", "is not a host name"),
        ] {
            let error = HostPort::parse(text).unwrap_err();
            assert!(error.contains(fragment), "{text}: {error}");
        }
        for (text, fragment) in [
            ("n1:2380", "is not a URL; write http://HOST:PORT, here http://n1:2380"),
            ("ftp://n1:2380", "scheme `ftp`"),
            ("https://n1:2380", "does not have yet"),
            ("http://n1:2380/x", "more than a host and a port"),
            ("http://me@n1:2380", "more than a host and a port"),
            ("http://n1", "has no port; write http://HOST:PORT"),
        ] {
            let error = NodeUrl::parse(text).unwrap_err();
            assert!(error.contains(fragment), "{text}: {error}");
        }
    }

    #[test]
    fn wildcards_are_known() {
        assert!(HostPort::parse("0.0.0.0:1").unwrap().is_wildcard());
        assert!(HostPort::parse("[::]:1").unwrap().is_wildcard());
        assert!(!HostPort::parse("127.0.0.1:1").unwrap().is_wildcard());
    }
}
