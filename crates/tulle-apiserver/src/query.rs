//! What stands behind the `?` of a request.

use std::time::Duration;

use crate::error::ApiError;

/// Most parameters that are read.
const MAX_PARAMETERS: usize = 64;

/// The parameters of a request, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the text behind the `?`.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|p| !p.is_empty()) {
            if pairs.len() == MAX_PARAMETERS {
                return Err(ApiError::bad_request(format!("more than {MAX_PARAMETERS} query parameters")));
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(&key.replace('+', " ")), decode(&value.replace('+', " "))));
        }
        Ok(Self(pairs))
    }

    /// The first value of `key`; empty if there is none.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str()).unwrap_or_default()
    }

    /// Every value of `key`.
    pub(crate) fn all<'q>(&'q self, key: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Whether `key` is given and true.
    pub(crate) fn flag(&self, key: &str) -> Result<bool, ApiError> {
        match self.text(key) {
            "" if !self.0.iter().any(|(k, _)| k == key) => Ok(false),
            // As Kubernetes reads them: a bare key means yes.
            "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            other => Err(ApiError::bad_request(format!("{key}={other:?} is neither true nor false"))),
        }
    }

    /// The number behind `key`, if there is one.
    pub(crate) fn number(&self, key: &str) -> Result<Option<i64>, ApiError> {
        match self.text(key) {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| ApiError::bad_request(format!("{key}={text:?} is not a whole number"))),
        }
    }

    /// The seconds behind `key`; `None` for none and for zero.
    pub(crate) fn seconds(&self, key: &str) -> Result<Option<Duration>, ApiError> {
        let seconds = self.number(key)?.filter(|n| *n > 0);
        Ok(seconds.and_then(|n| u64::try_from(n).ok()).map(Duration::from_secs))
    }

    /// Whether nothing is to be written (`dryRun=All`).
    pub(crate) fn dry_run(&self) -> Result<bool, ApiError> {
        let mut dry = false;
        for value in self.all("dryRun") {
            match value {
                "All" => dry = true,
                other => return Err(ApiError::bad_request(format!("dryRun={other:?}: only All is known"))),
            }
        }
        Ok(dry)
    }

    /// What is done about unknown fields.
    pub(crate) fn field_validation(&self) -> Result<FieldValidation, ApiError> {
        match self.text("fieldValidation") {
            "" | "Warn" => Ok(FieldValidation::Warn),
            "Strict" => Ok(FieldValidation::Strict),
            "Ignore" => Ok(FieldValidation::Ignore),
            other => {
                let message = format!("fieldValidation={other:?}: write Strict, Warn or Ignore");
                Err(ApiError::bad_request(message))
            }
        }
    }

    /// Who writes: `fieldManager`, or else the name of the program in its `User-Agent`.
    pub(crate) fn manager(&self, user_agent: &str) -> Result<String, ApiError> {
        let given = self.text("fieldManager");
        if given.is_empty() {
            let program: String =
                user_agent.split('/').next().unwrap_or_default().chars().take(128).collect();
            return Ok(if program.is_empty() { "unknown".to_owned() } else { program });
        }
        if given.len() > 128 || given.chars().any(char::is_control) {
            return Err(ApiError::bad_request("fieldManager must be printable and at most 128 bytes long"));
        }
        Ok(given.to_owned())
    }
}

/// What is done about fields that a kind does not have, and about duplicate ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// The request is refused.
    Strict,
    /// It is done without them, with a warning each.
    Warn,
    /// It is done without them.
    Ignore,
}

/// Percent-decoded text; what is no UTF-8 becomes the replacement character.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |n: usize| bytes.get(n).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                i += 3;
            }
            (byte, ..) => {
                out.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let q = Query::parse("labelSelector=app%3Dcart%2Ctier%20in%20%28a%29&watch&limit=5&x=%zz%4").unwrap();
        assert_eq!(q.text("labelSelector"), "app=cart,tier in (a)");
        assert_eq!((q.flag("watch"), q.flag("no"), q.number("limit")), (Ok(true), Ok(false), Ok(Some(5))));
        assert_eq!(q.text("x"), "%zz%4");
        assert!(q.number("labelSelector").is_err() && q.flag("limit").is_err());
        assert_eq!(Query::parse("dryRun=All").unwrap().dry_run(), Ok(true));
        assert!(Query::parse("dryRun=Some").unwrap().dry_run().is_err());
        assert!(Query::parse(&"a&".repeat(65)).is_err());
        assert_eq!(Query::default().manager("kubectl/v1.32 (linux)").unwrap(), "kubectl");
    }
}
