//! What a URL path names.

use tulle_api::Kind;

use crate::query::decode;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `/livez`, `/readyz`, `/healthz` and what is below them.
    Health,
    /// `/version`.
    Version,
    /// `/`: the list of paths.
    Root,
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1` and `/apis/GROUP/VERSION`.
    Resources(String, String),
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3` and what is below it, such as `apis/apps/v1`.
    OpenApiV3(String),
    /// Objects of a kind that is stored.
    Objects(Place),
    /// A question about the caller, in this group and version: the plural of its kind.
    Review(&'static str),
    /// Nothing that is here.
    Nothing,
}

/// Objects of a kind: all, those of a namespace, or one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The kind.
    pub kind: Kind,
    /// The version that was asked for.
    pub version: &'static str,
    /// The namespace; empty for all of them, and for kinds that belong to none.
    pub namespace: String,
    /// The object; `None` for a collection.
    pub name: Option<String>,
    /// What of the object; empty for itself.
    pub sub: String,
}

impl Place {
    /// Group and version as objects write them.
    pub(crate) fn api_version(&self) -> String {
        let group = self.kind.info().group;
        if group.is_empty() { self.version.to_owned() } else { format!("{group}/{}", self.version) }
    }
}

/// The kinds that are answered without being stored: group, version, plural, kind.
pub(crate) const REVIEWS: &[(&str, &str, &str, &str)] = &[
    ("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview"),
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
];

/// Finds what `path` names.
pub(crate) fn target(path: &str) -> Target {
    let segments: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(decode).collect();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    match parts.as_slice() {
        [] => Target::Root,
        ["livez" | "readyz" | "healthz", ..] => Target::Health,
        ["version"] => Target::Version,
        ["api"] => Target::CoreVersions,
        ["apis"] => Target::Groups,
        ["apis", group] => Target::Group((*group).to_owned()),
        ["openapi", "v2"] => Target::OpenApiV2,
        ["openapi", "v3", rest @ ..] => Target::OpenApiV3(rest.join("/")),
        ["api", version] => Target::Resources(String::new(), (*version).to_owned()),
        ["apis", group, version] => Target::Resources((*group).to_owned(), (*version).to_owned()),
        ["api", version, rest @ ..] => objects("", version, rest),
        ["apis", group, version, rest @ ..] => objects(group, version, rest),
        _ => Target::Nothing,
    }
}

fn objects(group: &str, version: &str, rest: &[&str]) -> Target {
    if let [plural] = rest
        && let Some(review) = REVIEWS.iter().find(|(g, v, p, _)| (*g, *v, *p) == (group, version, *plural))
    {
        return Target::Review(review.2);
    }
    let find = |plural: &str| {
        let kind =
            Kind::ALL.iter().copied().find(|k| k.info().group == group && k.info().plural == plural)?;
        let version = kind.info().versions.iter().find(|v| **v == version)?;
        Some((kind, *version))
    };
    let place = |plural: &str, namespace: &str, name: Option<&&str>, sub: &[&str]| {
        let (kind, version) = find(plural)?;
        let place = Place {
            kind,
            version,
            namespace: namespace.to_owned(),
            name: name.map(|n| (*n).to_owned()),
            sub: sub.join("/"),
        };
        // An object of a namespace is only found in it.
        let namespaced = kind.info().namespaced;
        let fits = match (namespaced, namespace.is_empty(), name.is_some()) {
            (true, true, named) => !named,
            (true, false, _) | (false, true, _) => true,
            (false, false, _) => false,
        };
        fits.then_some(place)
    };
    let found = match rest {
        ["namespaces"] => place("namespaces", "", None, &[]),
        ["namespaces", name] => place("namespaces", "", Some(name), &[]),
        ["namespaces", name, sub @ ("status" | "finalize")] if group.is_empty() => {
            place("namespaces", "", Some(name), &[sub])
        }
        ["namespaces", namespace, plural] => place(plural, namespace, None, &[]),
        ["namespaces", namespace, plural, name, sub @ ..] => place(plural, namespace, Some(name), sub),
        [plural] => place(plural, "", None, &[]),
        [plural, name, sub @ ..] => place(plural, "", Some(name), sub),
        [] => None,
    };
    found.map_or(Target::Nothing, Target::Objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> (Kind, &'static str, String, Option<String>, String) {
        match target(path) {
            Target::Objects(p) => (p.kind, p.version, p.namespace, p.name, p.sub),
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn paths_name_what_kubernetes_says() {
        let own = |s: &str| Some(s.to_owned());
        let n = String::new;
        assert_eq!(place("/api/v1/pods"), (Kind::Pod, "v1", n(), None, n()));
        assert_eq!(
            place("/api/v1/namespaces/shop/pods/a/log"),
            (Kind::Pod, "v1", "shop".into(), own("a"), "log".into())
        );
        assert_eq!(place("/api/v1/namespaces"), (Kind::Namespace, "v1", n(), None, n()));
        assert_eq!(
            place("/api/v1/namespaces/shop/status"),
            (Kind::Namespace, "v1", n(), own("shop"), "status".into())
        );
        assert_eq!(
            place("/apis/networking.istio.io/v1beta1/namespaces/a%2Db/virtualservices/x"),
            (Kind::VirtualService, "v1beta1", "a-b".into(), own("x"), n())
        );
        assert_eq!(
            target("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
            Target::Review("selfsubjectaccessreviews")
        );
        assert_eq!(target("/readyz/ping"), Target::Health);
        assert_eq!(target("/openapi/v3/apis/apps/v1"), Target::OpenApiV3("apis/apps/v1".into()));
        for nothing in [
            "/api/v2/pods",
            "/apis/apps/v1/pods",
            "/api/v1/pods/a",
            "/apis/apps/v1beta1/deployments",
            "/x",
            "/api/v1/nothing",
            "/apis/apps/v1/namespaces",
            "/%ff",
        ] {
            assert_eq!(target(nothing), Target::Nothing, "{nothing}");
        }
    }
}
