//! Variables in commands, arguments and environment: `$(NAME)`, as Kubernetes expands them.

/// Replaces every `$(NAME)` that `value_of` knows. Unknown ones stay as they are; `$$` is one `$` and begins nothing.
pub fn expand<'v>(text: &str, value_of: impl Fn(&str) -> Option<&'v str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix("$(").and_then(|r| r.split_once(')')) {
            match value_of(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&rest[..name.len() + 3]),
            }
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

/// The environment as it is built up: a later value wins, and sees the earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    values: Vec<(String, String)>,
}

impl Environment {
    /// Sets a variable to a value taken as it is.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.values.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name.to_owned(), value)),
        }
    }

    /// Sets a variable to a value with variables in it.
    pub fn set_expanded(&mut self, name: &str, value: &str) {
        let value = self.expand(value);
        self.set(name, value);
    }

    /// Expands text with the variables so far.
    pub fn expand(&self, text: &str) -> String {
        expand(text, |name| self.get(name))
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All of them, in the order in which they were set first.
    pub fn into_vec(self) -> Vec<(String, String)> {
        self.values
    }
}

/// Whether a key may become a variable: it fits a shell, or at least an environment.
pub fn is_name(key: &str) -> bool {
    !key.is_empty()
        && !key.starts_with(|c: char| c.is_ascii_digit())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cases_of_kubernetes() {
        let value = |name: &str| match name {
            "A" => Some("1"),
            "B" => Some("$(A)"),
            _ => None,
        };
        for (text, wanted) in [
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(B)", "$(A)"),
            ("$(NONE)", "$(NONE)"),
            ("$(A", "$(A"),
            ("$A ${A} $", "$A ${A} $"),
            ("$()", "$()"),
            ("ä$(A)ö", "ä1ö"),
        ] {
            assert_eq!(expand(text, value), wanted, "{text}");
        }
    }

    #[test]
    fn later_ones_see_earlier_ones() {
        let mut e = Environment::default();
        e.set_expanded("URL", "http://$(HOST)");
        e.set("HOST", "cart");
        e.set_expanded("URL2", "http://$(HOST)");
        e.set("HOST", "other");
        assert_eq!(
            (e.get("URL"), e.get("URL2"), e.get("HOST")),
            (Some("http://$(HOST)"), Some("http://cart"), Some("other"))
        );
        assert!(is_name("my.key-1") && !is_name("1a") && !is_name("a b") && !is_name(""));
    }
}
