//! Who asks, and what they may do.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::error::{ApiError, Reason};

/// Somebody who has a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name, such as `tulle:admin`.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Read everything but Secrets.
    Viewer,
}

impl Identity {
    /// The groups that the user is in.
    pub(crate) fn groups(&self) -> [&'static str; 2] {
        match self.role {
            Role::Admin => ["system:masters", "system:authenticated"],
            Role::Viewer => ["tulle:viewers", "system:authenticated"],
        }
    }

    /// Whether this user may do `verb` to `resource`, the plural of a kind.
    pub(crate) fn may(&self, verb: &str, resource: &str) -> bool {
        match self.role {
            Role::Admin => true,
            Role::Viewer => {
                let review = crate::path::REVIEWS.iter().any(|(_, _, plural, _)| *plural == resource);
                let reads = matches!(verb, "get" | "list" | "watch");
                (reads && resource != "secrets") || (review && verb == "create")
            }
        }
    }
}

/// A bearer token and whose it is. Only its digest is kept.
#[derive(Clone)]
pub struct Token {
    digest: [u8; 32],
    identity: Identity,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Token {
    /// The token `secret` of `identity`.
    pub fn new(secret: &str, identity: Identity) -> Self {
        Self { digest: hash(secret), identity }
    }
}

fn hash(secret: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    out
}

/// Finds out who asks. The time that it takes does not depend on how much of a token is right.
///
/// # Errors
/// 401 without a token that is known; 403 for who wants to act as somebody else, which nobody may.
pub(crate) fn authenticate(headers: &HeaderMap, tokens: &[Token]) -> Result<Identity, ApiError> {
    if headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Err(ApiError::new(Reason::Forbidden, "nobody may act as somebody else here"));
    }
    let given = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    let given =
        given.and_then(|v| v.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let digest = given.map(|(_, secret)| hash(secret.trim()));
    let mut found = None;
    for token in tokens {
        if digest.is_some_and(|d| verify_slices_are_equal(&d, &token.digest).is_ok()) {
            found = Some(&token.identity);
        }
    }
    found.cloned().ok_or_else(|| ApiError::new(Reason::Unauthorized, "Unauthorized"))
}

/// Reads the secret in `path`, or makes one (256 random bits) that only this user can read.
///
/// # Errors
/// What the file system said.
pub fn secret_in(path: &Path) -> io::Result<String> {
    if let Ok(mut file) = fs::File::open(path) {
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let text = text.trim().to_owned();
        if text.len() >= 32 {
            return Ok(text);
        }
    }
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("there is no randomness"))?;
    let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    write_private(path, text.as_bytes())?;
    Ok(text)
}

/// Writes a file that only this user can read, all of it or nothing.
///
/// # Errors
/// What the file system said.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn tokens_tell_who_asks() {
        let admin = Identity { name: "tulle:admin".into(), role: Role::Admin };
        let tokens = [Token::new("right", admin.clone())];
        let ask = |value: &str| {
            let headers: HeaderMap = [(AUTHORIZATION, value.parse().unwrap())].into_iter().collect();
            authenticate(&headers, &tokens)
        };
        assert_eq!(ask("Bearer right"), Ok(admin));
        for wrong in ["Bearer wrong", "Basic right", "right", "Bearer ", "Bearer right2"] {
            assert_eq!(ask(wrong).unwrap_err().reason, Reason::Unauthorized, "{wrong}");
        }
    }

    #[test]
    fn viewers_read_all_but_secrets() {
        let viewer = Identity { name: "v".into(), role: Role::Viewer };
        assert!(viewer.may("watch", "pods") && viewer.may("create", "selfsubjectaccessreviews"));
        assert!(!viewer.may("get", "secrets") && !viewer.may("delete", "pods"));
    }

    #[test]
    fn a_secret_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let made = secret_in(&path).unwrap();
        assert_eq!((made.len(), secret_in(&path).unwrap()), (64, made));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
