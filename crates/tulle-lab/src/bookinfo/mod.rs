//! Bookinfo: the four services of Istio's sample, with its paths, JSON and environment variables.

pub(crate) mod details;
pub(crate) mod productpage;
pub(crate) mod ratings;
pub(crate) mod reviews;

/// `NAME.DOMAIN:PORT` of a neighbour, from the variables that the sample's images read: `{NAME}_HOSTNAME`,
/// `{NAME}_SERVICE_PORT` and `SERVICES_DOMAIN`.
fn neighbour(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    let variable = |key: String| std::env::var(key).ok().filter(|v| !v.is_empty());
    let host = variable(format!("{upper}_HOSTNAME")).unwrap_or_else(|| name.to_owned());
    let port = variable(format!("{upper}_SERVICE_PORT")).unwrap_or_else(|| "9080".to_owned());
    match variable("SERVICES_DOMAIN".to_owned()) {
        Some(domain) => format!("{host}.{domain}:{port}"),
        None => format!("{host}:{port}"),
    }
}

/// The product id at the end of a path such as `/reviews/7`.
fn product_id(path: &str, prefix: &str) -> Option<u64> {
    path.strip_prefix(prefix)?.strip_prefix('/')?.trim_end_matches('/').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_whole_numbers() {
        assert_eq!(product_id("/reviews/7", "/reviews"), Some(7));
        assert_eq!(product_id("/reviews/7/", "/reviews"), Some(7));
        assert_eq!(product_id("/reviews/x", "/reviews"), None);
        assert_eq!(product_id("/reviews7", "/reviews"), None);
    }
}
