//! How a store is named on a command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAddress {
    /// `unix:PATH`, or a path alone: the socket of a store that another process offers ([`crate::RemoteStore`]).
    Socket(PathBuf),
    /// `file:PATH`: a file or folder of YAML, watched ([`crate::Folder`]).
    Folder(PathBuf),
    /// `embedded:FILE`: a durable store in a file of this process ([`crate::Embedded`]).
    Embedded(PathBuf),
    /// `etcd://HOST:PORT[,HOST:PORT]/PREFIX`: an etcd ([`crate::Etcd`]).
    Etcd {
        /// The members.
        endpoints: Vec<String>,
        /// Where keys begin.
        prefix: String,
    },
}

/// Why an address is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It begins in a way that is not known.
    #[error(
        "{0:?} is not a kind of store; write etcd://HOST:PORT/PREFIX, file:FOLDER, embedded:FILE or unix:SOCKET"
    )]
    Scheme(String),
    /// Nothing follows the scheme.
    #[error("{0:?} names nothing; a path must follow")]
    NoPath(String),
    /// The etcd is named without a prefix.
    #[error("{0:?} has no prefix; write where the keys begin, such as etcd://127.0.0.1:2379/tulle")]
    NoPrefix(String),
    /// The etcd is named without a host.
    #[error("{0:?} names no server; write etcd://HOST:PORT[,HOST:PORT]/PREFIX")]
    NoHost(String),
    /// A password on a command line is seen by everybody.
    #[error(
        "an etcd's user and password are not part of its address; use --etcd-user and --etcd-password-file"
    )]
    User,
}

impl FromStr for StoreAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(rest) = text.strip_prefix("etcd://") {
            return etcd(text, rest);
        }
        let path = |rest: &str| {
            let rest = rest.strip_prefix("//").unwrap_or(rest);
            if rest.is_empty() { Err(AddressError::NoPath(text.to_owned())) } else { Ok(PathBuf::from(rest)) }
        };
        match text.split_once(':') {
            Some(("file", rest)) => path(rest).map(Self::Folder),
            Some(("embedded", rest)) => path(rest).map(Self::Embedded),
            Some(("unix", rest)) => path(rest).map(Self::Socket),
            // A colon may be part of a path.
            Some((scheme, _)) if !scheme.contains(['/', '.']) => Err(AddressError::Scheme(scheme.to_owned())),
            _ => path(text).map(Self::Socket),
        }
    }
}

fn etcd(text: &str, rest: &str) -> Result<StoreAddress, AddressError> {
    if rest.split('/').next().is_some_and(|hosts| hosts.contains('@')) {
        return Err(AddressError::User);
    }
    let (hosts, prefix) = rest.split_once('/').ok_or_else(|| AddressError::NoPrefix(text.to_owned()))?;
    if prefix.trim_matches('/').is_empty() {
        return Err(AddressError::NoPrefix(text.to_owned()));
    }
    let endpoints: Vec<String> = hosts.split(',').map(str::to_owned).collect();
    if endpoints.iter().any(String::is_empty) {
        return Err(AddressError::NoHost(text.to_owned()));
    }
    Ok(StoreAddress::Etcd { endpoints, prefix: format!("/{}", prefix.trim_matches('/')) })
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
            Self::Folder(path) => write!(f, "file:{}", path.display()),
            Self::Embedded(path) => write!(f, "embedded:{}", path.display()),
            Self::Etcd { endpoints, prefix } => write!(f, "etcd://{}{prefix}", endpoints.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_stores() {
        let parse = |text: &str| text.parse::<StoreAddress>();
        let path = |text: &str| PathBuf::from(text);
        let etcd = |endpoints: &[&str], prefix: &str| StoreAddress::Etcd {
            endpoints: endpoints.iter().map(|e| (*e).to_owned()).collect(),
            prefix: prefix.to_owned(),
        };
        assert_eq!(parse("/run/store.sock"), Ok(StoreAddress::Socket(path("/run/store.sock"))));
        assert_eq!(parse("store.sock"), Ok(StoreAddress::Socket(path("store.sock"))));
        assert_eq!(parse("./a:b"), Ok(StoreAddress::Socket(path("./a:b"))));
        assert_eq!(parse("unix:a"), Ok(StoreAddress::Socket(path("a"))));
        assert_eq!(parse("file:conf"), Ok(StoreAddress::Folder(path("conf"))));
        assert_eq!(parse("file:///conf"), Ok(StoreAddress::Folder(path("/conf"))));
        assert_eq!(parse("embedded:/var/a.db"), Ok(StoreAddress::Embedded(path("/var/a.db"))));
        assert_eq!(parse("etcd://h:1,[::1]:2/a/b/"), Ok(etcd(&["h:1", "[::1]:2"], "/a/b")));
        for text in ["unix:a", "file:/conf", "embedded:/var/a.db", "etcd://h:1,[::1]:2/a/b"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert!(matches!(parse("etcd://h:1"), Err(AddressError::NoPrefix(_))));
        assert!(matches!(parse("etcd://h:1/"), Err(AddressError::NoPrefix(_))));
        assert!(matches!(parse("etcd:///a"), Err(AddressError::NoHost(_))));
        assert!(matches!(parse("etcd://h:1,/a"), Err(AddressError::NoHost(_))));
        assert_eq!(parse("etcd://u:p@h:1/a"), Err(AddressError::User));
        assert_eq!(parse("mysql:x"), Err(AddressError::Scheme("mysql".into())));
        assert!(matches!(parse("file:"), Err(AddressError::NoPath(_))));
        assert!(matches!(parse(""), Err(AddressError::NoPath(_))));
    }
}
