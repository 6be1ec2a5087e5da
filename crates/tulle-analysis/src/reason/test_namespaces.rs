//! Namespaces that are for tests, by their names and labels.

use tulle_base::Labels;

/// Words that mark a namespace as one for tests, in its name or in the value of a label about its environment.
const WORDS: [&str; 25] = [
    "test",
    "tests",
    "testing",
    "staging",
    "stage",
    "stg",
    "dev",
    "devel",
    "development",
    "qa",
    "uat",
    "chaos",
    "sandbox",
    "preview",
    "e2e",
    "ci",
    "integration",
    "perf",
    "loadtest",
    "playground",
    "lab",
    "demo",
    "preprod",
    "canary",
    "local",
];

/// Labels that name the environment of a namespace.
const KEYS: [&str; 6] = ["env", "environment", "stage", "tier", "purpose", "lifecycle"];

/// Whether a namespace is for tests: a word of its name says so, or a label about its environment.
pub fn is_test_namespace(name: &str, labels: Option<&Labels>) -> bool {
    let environment = labels.into_iter().flatten().filter(|(key, _)| {
        let last = key.rsplit('/').next().unwrap_or(key);
        KEYS.contains(&last.to_ascii_lowercase().as_str())
    });
    says_test(name) || environment.into_iter().any(|(_, value)| says_test(value))
}

fn says_test(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
        WORDS.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit())) || WORDS.contains(&word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels() {
        for name in ["test", "shop-staging", "dev2", "qa.shop", "e2e"] {
            assert!(is_test_namespace(name, None), "{name}");
        }
        for name in ["shop", "production", "latest", "contest", "attestation"] {
            assert!(!is_test_namespace(name, None), "{name}");
        }
        let labels: Labels = [("example.com/environment".to_owned(), "Test".to_owned())].into();
        assert!(is_test_namespace("shop", Some(&labels)));
    }
}
