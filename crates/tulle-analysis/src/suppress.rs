//! Findings that somebody knows and does not want to see: `CODE=RESOURCE`.

use std::str::FromStr;

use thiserror::Error;
use tulle_base::{Diagnostic, ResourceRef};

/// A code and the resources for which it is not reported, as `CODE=KIND NAME[.NAMESPACE]` or `CODE=KIND NAMESPACE/NAME`;
/// `*` stands for any run of characters, also for the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    code: String,
    resource: String,
}

/// Text that is no [`Suppression`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is not of the form CODE=RESOURCE, such as IST0102=Namespace shop or TUL0201=VirtualService shop/*"
)]
pub struct BadSuppression(String);

impl FromStr for Suppression {
    type Err = BadSuppression;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadSuppression(text.to_owned());
        let (code, resource) = text.split_once('=').ok_or_else(bad)?;
        let (code, resource) = (code.trim(), resource.trim());
        if code.is_empty() || resource.is_empty() {
            return Err(bad());
        }
        Ok(Self { code: code.to_owned(), resource: resource.to_owned() })
    }
}

impl Suppression {
    /// Whether `finding` is not to be seen.
    pub fn covers(&self, finding: &Diagnostic) -> bool {
        if finding.code.is_empty() || !glob(&self.code, finding.code) {
            return false;
        }
        finding.resource.as_ref().is_some_and(|resource| {
            let ResourceRef { kind, namespace, name, group: _ } = resource;
            glob(&self.resource, &resource.to_string())
                || glob(&self.resource, &format!("{kind} {name}.{namespace}"))
        })
    }
}

/// Whether `pattern`, in which `*` stands for any run of characters, is all of `text`.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = pattern.rsplit_once('*').map(|(_, last)| last) else { return rest.is_empty() };
    let middle: Vec<&str> = parts.collect();
    for part in &middle[..middle.len() - 1] {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, matches) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "abd", false),
            ("*b*", "abc", true),
            ("a*a", "a", false),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "xbxax", false),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn a_code_of_a_resource_is_left_out() {
        let finding = Diagnostic::error("".into(), "x").with_code("IST0101").with_resource(ResourceRef::new(
            "g",
            "VirtualService",
            "shop",
            "cart",
        ));
        for (text, covers) in [
            ("IST0101=VirtualService shop/cart", true),
            ("IST0101=VirtualService cart.shop", true),
            ("IST0101=* shop/*", true),
            ("*=VirtualService shop/cart", true),
            ("IST0102=VirtualService shop/cart", false),
            ("IST0101=VirtualService shop/car", false),
        ] {
            assert_eq!(text.parse::<Suppression>().unwrap().covers(&finding), covers, "{text}");
        }
        for bad in ["", "IST0101", "=x", "IST0101="] {
            assert_eq!(bad.parse::<Suppression>(), Err(BadSuppression(bad.to_owned())));
        }
    }
}
