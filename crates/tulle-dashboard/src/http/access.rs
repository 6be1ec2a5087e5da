//! Who may read and who may write.
//!
//! * Whoever comes from an address that is allowed to reads without a name (the loopback of `tulle up`).
//! * A *token* is `KIND.EXPIRY.NONCE.MAC`, made with the key of the state directory by whoever may read that, and needs no list at the
//!   server. One of kind `once` is given for a session and is good for that one time; `read` and `write` are shown with each request
//!   (`Authorization: Bearer`), for programs.
//! * A *session* is a cookie that scripts of pages cannot read and that is not sent from other sites; writes take a second secret
//!   besides, that only the page knows (CSRF).
//!
//! Sessions live in memory: a control plane that starts again asks for another login.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};

/// Name of the key's file in the state directory.
pub const KEY_FILE: &str = "dashboard.key";
/// Name of the cookie.
const COOKIE: &str = "tulle_session";
/// How long a session lasts, in seconds.
const SESSION: u64 = 12 * 3600;
/// Sessions at a time; the oldest makes room.
const MAX_SESSIONS: usize = 256;
/// Tokens of one use that are remembered; more are refused until some are over.
const MAX_USED: usize = 4096;
/// The longest life of a token of one use, in seconds; with it what is remembered is bounded in time.
pub const ONCE_AT_MOST: u64 = 15 * 60;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// One login.
    Once,
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

impl TokenKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Once, Self::Read, Self::Write].into_iter().find(|k| k.as_str() == text)
    }
}

/// The key that tokens are made with.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// Reads the key of a state directory; makes one that only this user can read, if there is none.
    ///
    /// # Errors
    /// A file that cannot be read or written, or that holds no key.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join(KEY_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::from_hex(text.trim()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = random();
                let mut options = std::fs::OpenOptions::new();
                let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
                io::Write::write_all(&mut file, format!("{secret}\n").as_bytes())?;
                Self::from_hex(&secret)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the key of a state directory.
    ///
    /// # Errors
    /// A file that is not there, cannot be read, or holds no key.
    pub fn read(state_dir: &Path) -> io::Result<Self> {
        Self::from_hex(std::fs::read_to_string(state_dir.join(KEY_FILE))?.trim())
    }

    fn from_hex(text: &str) -> io::Result<Self> {
        let bad =
            || io::Error::new(io::ErrorKind::InvalidData, format!("{KEY_FILE} holds no key; remove it"));
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())))
    }

    /// A token that is good until `expires` (seconds since 1970).
    pub fn token(&self, kind: TokenKind, expires: u64) -> String {
        let said = format!("{}.{expires}.{}", kind.as_str(), random());
        let mac = hex(hmac::sign(&self.0, said.as_bytes()).as_ref());
        format!("{said}.{mac}")
    }

    /// What a token is good for until when, and its nonce; `None` if it is not ours, or over.
    fn check(&self, token: &str, now: u64) -> Option<(TokenKind, u64, String)> {
        if token.len() > 256 {
            return None;
        }
        let (said, mac) = token.rsplit_once('.')?;
        hmac::verify(&self.0, said.as_bytes(), &unhex(mac)?).ok()?;
        let mut parts = said.split('.');
        let (kind, expires, nonce) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let kind = TokenKind::parse(kind)?;
        (expires > now).then(|| (kind, expires, nonce.to_owned()))
    }
}

/// Who reads without a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Nobody.
    #[default]
    Nobody,
    /// Whoever comes from these addresses.
    From(Vec<IpAddr>),
    /// Everybody who can reach the port.
    Everybody,
}

/// The rules.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Who reads without a name.
    pub anonymous: Anonymous,
    /// Nobody writes.
    pub read_only: bool,
}

/// By what somebody is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By nothing, and may not read.
    None,
    /// By nothing; may read.
    Anonymous,
    /// By a cookie.
    Session,
    /// By a token.
    Bearer,
}

impl Mode {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Anonymous => "anonymous",
            Self::Session => "session",
            Self::Bearer => "bearer",
        }
    }
}

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// A name for the audit log.
    pub name: String,
    /// By what.
    pub mode: Mode,
    /// Whether writes are allowed.
    pub can_write: bool,
    /// What writes of a session must show.
    pub csrf: Option<String>,
    /// When it ends; seconds since 1970.
    pub expires: Option<u64>,
}

#[derive(Debug)]
struct Session {
    csrf: String,
    name: String,
    expires: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Access {
    key: Key,
    rules: Rules,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the keyed digest of the cookie, so that looking one up tells nothing about the others.
    sessions: HashMap<String, Session>,
    used: HashMap<String, u64>,
    count: u64,
}

impl Access {
    /// The rules with a key.
    pub fn new(key: Key, rules: Rules) -> Self {
        Self { key, rules, state: Mutex::default() }
    }

    /// Whether nobody writes.
    pub fn is_read_only(&self) -> bool {
        self.rules.read_only
    }

    /// Who it is that shows these headers.
    pub fn who(&self, cookie: &str, authorization: &str, peer: Option<IpAddr>, now: u64) -> Who {
        let writes = !self.rules.read_only;
        if let Some(token) = authorization.strip_prefix("Bearer ") {
            // A token that is not good is not the same as none: whoever shows one wants to be somebody.
            let checked = self.key.check(token.trim(), now).filter(|(kind, ..)| *kind != TokenKind::Once);
            return match checked {
                Some((kind, expires, nonce)) => Who {
                    name: format!("token {}", nonce.get(..8).unwrap_or_default()),
                    mode: Mode::Bearer,
                    can_write: writes && kind == TokenKind::Write,
                    csrf: None,
                    expires: Some(expires),
                },
                None => nobody(),
            };
        }
        if let Some(cookie) = cookie_of(cookie)
            && let Some(session) = self.state(now).sessions.get(&self.digest(cookie))
        {
            return Who {
                name: session.name.clone(),
                mode: Mode::Session,
                can_write: writes,
                csrf: Some(session.csrf.clone()),
                expires: Some(session.expires),
            };
        }
        let reads = match &self.rules.anonymous {
            Anonymous::Nobody => false,
            Anonymous::Everybody => true,
            Anonymous::From(all) => peer.is_some_and(|ip| all.contains(&ip.to_canonical())),
        };
        if reads { Who { name: "anonymous".to_owned(), mode: Mode::Anonymous, ..nobody() } } else { nobody() }
    }

    /// A session for a token of one use: who it is, and the cookie to set; `None` if the token is not good (any more).
    pub fn login(&self, token: &str, peer: Option<IpAddr>, now: u64) -> Option<(Who, String)> {
        let (kind, expires, nonce) = self.key.check(token.trim(), now)?;
        if kind != TokenKind::Once || expires > now + ONCE_AT_MOST {
            return None;
        }
        let mut state = self.state(now);
        if state.used.contains_key(&nonce) || state.used.len() >= MAX_USED {
            return None;
        }
        state.used.insert(nonce, expires);
        if state.sessions.len() >= MAX_SESSIONS
            && let Some(oldest) =
                state.sessions.iter().min_by_key(|(_, s)| s.expires).map(|(id, _)| id.clone())
        {
            state.sessions.remove(&oldest);
        }
        let (cookie, csrf) = (random(), random());
        state.count += 1;
        let from = peer.map(|ip| format!(" from {}", ip.to_canonical())).unwrap_or_default();
        let name = format!("session {}{from}", state.count);
        let expires = now + SESSION;
        let session = Session { csrf: csrf.clone(), name: name.clone(), expires };
        state.sessions.insert(self.digest(&cookie), session);
        let who = Who {
            name,
            mode: Mode::Session,
            can_write: !self.rules.read_only,
            csrf: Some(csrf),
            expires: Some(expires),
        };
        Some((who, format!("{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age={SESSION}")))
    }

    /// Ends a session; returns the cookie that takes its place.
    pub fn logout(&self, cookie: &str, now: u64) -> String {
        if let Some(cookie) = cookie_of(cookie) {
            let digest = self.digest(cookie);
            self.state(now).sessions.remove(&digest);
        }
        format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
    }

    fn digest(&self, cookie: &str) -> String {
        hex(hmac::sign(&self.key.0, format!("cookie {cookie}").as_bytes()).as_ref())
    }

    fn state(&self, now: u64) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sessions.retain(|_, session| session.expires > now);
        state.used.retain(|_, expires| *expires > now);
        state
    }
}

impl Who {
    /// Whether `shown` is the secret of this session's page, told in constant time.
    pub fn has_csrf(&self, shown: &str) -> bool {
        self.csrf.as_deref().is_some_and(|csrf| {
            aws_lc_rs::constant_time::verify_slices_are_equal(csrf.as_bytes(), shown.as_bytes()).is_ok()
        })
    }

    /// Whether it may read.
    pub fn can_read(&self) -> bool {
        self.mode != Mode::None
    }
}

fn nobody() -> Who {
    Who { name: String::new(), mode: Mode::None, can_write: false, csrf: None, expires: None }
}

/// The session's cookie of a header with several.
fn cookie_of(header: &str) -> Option<&str> {
    let mut all = header.split(';').filter_map(|part| part.trim().split_once('='));
    all.find(|(name, _)| *name == COOKIE).map(|(_, value)| value).filter(|v| v.len() == 64)
}

/// 32 random bytes in hexadecimal.
fn random() -> String {
    let mut bytes = [0; 32];
    // A machine without randomness has no business with secrets: what is refused then is better than what could be guessed.
    #[allow(clippy::expect_used, reason = "see above")]
    SystemRandom::new().fill(&mut bytes).expect("the system gives random bytes");
    hex(&bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(rules: Rules) -> Access {
        Access::new(Key::from_hex(&"5a".repeat(32)).unwrap(), rules)
    }

    #[test]
    fn a_token_of_one_use_is_good_once_and_not_for_ever() {
        let access = access(Rules::default());
        let token = access.key.token(TokenKind::Once, 1_000 + 600);
        assert!(access.login(&token, None, 1_600).is_none(), "over");
        let (who, cookie) = access.login(&token, None, 1_000).unwrap();
        assert!(who.can_write && cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
        assert!(access.login(&token, None, 1_001).is_none(), "used");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let seen = access.who(&format!("a=b; {cookie}"), "", None, 1_002);
        assert_eq!((seen.mode, seen.can_write), (Mode::Session, true));
        assert!(seen.has_csrf(who.csrf.as_deref().unwrap()) && !seen.has_csrf("") && !seen.has_csrf("x"));
        assert_eq!(access.who(&cookie, "", None, 1_000 + SESSION).mode, Mode::None, "it ends");
        access.logout(&cookie, 1_003);
        assert_eq!(access.who(&cookie, "", None, 1_004).mode, Mode::None);
        let long = access.key.token(TokenKind::Once, 1_000 + ONCE_AT_MOST + 1);
        assert!(access.login(&long, None, 1_000).is_none(), "it could not be remembered that long");
        let other = Key::from_hex(&"5b".repeat(32)).unwrap().token(TokenKind::Once, 1_600);
        assert!(access.login(&other, None, 1_000).is_none(), "of another key");
        for (from, to) in [("once", "write"), ("1600", "9600")] {
            let forged = access.key.token(TokenKind::Once, 1_600).replacen(from, to, 1);
            assert_eq!(access.who("", &format!("Bearer {forged}"), None, 1_000).mode, Mode::None);
            assert!(access.login(&forged, None, 1_000).is_none());
        }
    }

    #[test]
    fn programs_show_tokens_and_some_addresses_read_without() {
        let local: IpAddr = "10.244.0.1".parse().unwrap();
        let access = access(Rules { anonymous: Anonymous::From(vec![local]), read_only: false });
        let bearer = |kind| format!("Bearer {}", access.key.token(kind, 2_000));
        let read = access.who("", &bearer(TokenKind::Read), None, 1_000);
        assert_eq!((read.mode, read.can_write), (Mode::Bearer, false));
        assert!(access.who("", &bearer(TokenKind::Write), None, 1_000).can_write);
        assert_eq!(access.who("", &bearer(TokenKind::Once), None, 1_000).mode, Mode::None);
        assert_eq!(access.who("", "", Some(local), 1_000).mode, Mode::Anonymous);
        assert_eq!(access.who("", "Bearer x", Some(local), 1_000).mode, Mode::None);
        assert_eq!(access.who("", "", Some("10.244.0.9".parse().unwrap()), 1_000).mode, Mode::None);
        assert_eq!(
            access.who("", "", Some("::ffff:10.244.0.1".parse().unwrap()), 1_000).mode,
            Mode::Anonymous
        );
    }

    #[test]
    fn sessions_and_used_tokens_are_bounded() {
        let access = access(Rules { read_only: true, ..Rules::default() });
        for i in 0..300 {
            let token = access.key.token(TokenKind::Once, 1_600);
            let (who, _) = access.login(&token, None, 1_000 + i / 10).unwrap();
            assert!(!who.can_write, "nobody writes");
        }
        let state = access.state(1_031);
        assert_eq!(state.sessions.len(), MAX_SESSIONS);
        assert_eq!(state.used.len(), 300);
        drop(state);
        assert_eq!(access.state(1_601).used.len(), 0);
    }

    #[test]
    fn the_key_is_made_once_and_nobody_else_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let token = Key::open(dir.path()).unwrap().token(TokenKind::Read, 10);
        assert!(Key::read(dir.path()).unwrap().check(&token, 5).is_some());
        let mode = std::fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(dir.path().join(KEY_FILE), "x").unwrap();
        assert!(Key::open(dir.path()).is_err());
    }
}
