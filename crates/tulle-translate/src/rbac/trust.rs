//! Trust domains and their aliases: one mesh under several names.

use tulle_mesh::MeshConfig;

/// Stands for the mesh's own trust domain, whatever it is called.
const LOCAL: &str = "cluster.local";

/// The trust domains of a mesh, its own one first.
#[derive(Clone, Debug, Default)]
pub(super) struct TrustDomains(Vec<String>);

impl TrustDomains {
    pub(super) fn of(mesh: &MeshConfig) -> Self {
        let mut all = vec![mesh.trust_domain.clone()];
        all.extend(mesh.trust_domain_aliases.iter().filter(|a| **a != mesh.trust_domain).cloned());
        Self(all)
    }

    /// The principals with those of the aliases: `TRUST_DOMAIN/ns/NS/sa/SA` of this mesh holds under each of its names. Others stay
    /// as they are, those without a trust domain (`*/ns/…`) too.
    pub(super) fn principals(&self, written: &[String]) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for principal in written {
            let parts = principal.split('/').count();
            match principal.split_once('/').filter(|(domain, _)| parts == 5 && *domain != "*") {
                Some((domain, rest)) if domain == LOCAL || self.0.iter().any(|d| fits(domain, d)) => {
                    for own in &self.0 {
                        let covered = domain.starts_with('*') && fits(domain, own);
                        out.push(if covered { principal.clone() } else { format!("{own}/{rest}") });
                    }
                }
                _ => out.push(principal.clone()),
            }
        }
        distinct(out)
    }

    /// The trust domains with their aliases.
    pub(super) fn domains(&self, written: &[String]) -> Vec<String> {
        distinct(
            written
                .iter()
                .flat_map(|d| if self.0.contains(d) { self.0.clone() } else { vec![d.clone()] })
                .collect(),
        )
    }
}

/// Whether a domain is meant by `pattern`, which may have a `*` at one end.
fn fits(pattern: &str, domain: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => domain.ends_with(end),
        (_, Some(start)) => domain.starts_with(start),
        (None, None) => pattern == domain,
    }
}

fn distinct(all: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(all.len());
    for one in all {
        if !out.contains(&one) {
            out.push(one);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, wanted: &[&str]) {
        let mesh = TrustDomains(["new-td", "old-td"].map(str::to_owned).into());
        assert_eq!(mesh.principals(&[written.to_owned()]), wanted, "{written}");
    }

    #[test]
    fn principals_of_the_mesh_hold_under_each_of_its_names() {
        check("old-td/ns/a/sa/b", &["new-td/ns/a/sa/b", "old-td/ns/a/sa/b"]);
        check("cluster.local/ns/a/sa/b", &["new-td/ns/a/sa/b", "old-td/ns/a/sa/b"]);
        check("other/ns/a/sa/b", &["other/ns/a/sa/b"]);
        check("*/ns/a/sa/b", &["*/ns/a/sa/b"]);
        check("*-td/ns/a/sa/b", &["*-td/ns/a/sa/b"]);
        check("*w-td/ns/a/sa/b", &["*w-td/ns/a/sa/b", "old-td/ns/a/sa/b"]);
        check("old-td/ns/a/*", &["old-td/ns/a/*"]);
        check("*", &["*"]);
    }

    #[test]
    fn trust_domains_hold_under_each_name() {
        let mesh = TrustDomains(["new-td", "old-td"].map(str::to_owned).into());
        assert_eq!(mesh.domains(&["old-td".to_owned(), "x".to_owned()]), ["new-td", "old-td", "x"]);
    }
}
