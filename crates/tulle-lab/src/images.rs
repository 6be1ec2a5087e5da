//! Which image names stand for which program.

/// A built-in program and the arguments that make it behave as its image does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Arguments of `tulle lab`, the program's name first.
    pub args: Vec<&'static str>,
}

/// Image names without registry, `library/` and tag, beside the program that each stands for.
pub const KNOWN_IMAGES: &[(&str, &[&str])] = &[
    ("istio/examples-bookinfo-productpage-v1", &["productpage"]),
    ("istio/examples-bookinfo-details-v1", &["details"]),
    ("istio/examples-bookinfo-ratings-v1", &["ratings"]),
    ("istio/examples-bookinfo-reviews-v1", &["reviews", "--version", "v1"]),
    ("istio/examples-bookinfo-reviews-v2", &["reviews", "--version", "v2"]),
    ("istio/examples-bookinfo-reviews-v3", &["reviews", "--version", "v3"]),
    ("curlimages/curl", &["curl"]),
    ("kennethreitz/httpbin", &["httpbin", "--port", "80"]),
    ("kong/httpbin", &["httpbin", "--port", "80"]),
    ("mccutchen/go-httpbin", &["httpbin", "--port", "8080"]),
    ("istio/tcp-echo-server", &["echo"]),
    ("tulle/echo", &["echo"]),
    ("tulle/load", &["load"]),
];

/// The program that stands for `image`, whatever its registry, tag and digest; `None` if there is none.
pub fn program_for_image(image: &str) -> Option<Program> {
    let without_digest = image.split('@').next().unwrap_or(image);
    let slash = without_digest.rfind('/').map_or(0, |i| i + 1);
    let without_tag = match without_digest[slash..].find(':') {
        Some(colon) => &without_digest[..slash + colon],
        None => without_digest,
    };
    KNOWN_IMAGES
        .iter()
        .find(|(name, _)| {
            without_tag == *name
                || without_tag.strip_suffix(name).is_some_and(|registry| registry.ends_with('/'))
        })
        .map(|(_, args)| Program { args: args.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_tag_and_digest_do_not_matter() {
        let reviews = Some(Program { args: vec!["reviews", "--version", "v2"] });
        for image in [
            "docker.io/istio/examples-bookinfo-reviews-v2:1.20.3",
            "istio/examples-bookinfo-reviews-v2",
            "localhost:5000/istio/examples-bookinfo-reviews-v2:x",
            "docker.io/istio/examples-bookinfo-reviews-v2@sha256:abc",
        ] {
            assert_eq!(program_for_image(image), reviews, "{image}");
        }
        assert_eq!(program_for_image("nginx:1.27"), None);
        assert_eq!(program_for_image("evilistio/examples-bookinfo-reviews-v2"), None);
    }
}
