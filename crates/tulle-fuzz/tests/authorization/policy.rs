//! Random policies: what they say, and the documents that say it.

use serde_json::{Map, Value, json};

use crate::draw::Draw;

/// Values one of which is wanted, and values none of which may be.
#[derive(Clone, Debug, Default)]
pub struct Set {
    pub any: Vec<String>,
    pub none: Vec<String>,
}

/// One rule: lists of alternatives, each a list of what is said of fields.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    pub from: Vec<Vec<(&'static str, Set)>>,
    pub to: Vec<Vec<(&'static str, Set)>>,
    pub when: Vec<(String, Set)>,
}

/// A policy.
#[derive(Clone, Debug)]
pub struct Policy {
    pub name: String,
    pub namespace: &'static str,
    /// Labels, if it has a selector.
    pub selector: Option<(&'static str, &'static str)>,
    /// Whether it names a Gateway.
    pub targeted: bool,
    pub action: &'static str,
    pub dry_run: bool,
    pub rules: Vec<Rule>,
}

const PRINCIPALS: &[&str] = &[
    "cluster.local/ns/shop/sa/cart",
    "*/ns/shop/sa/cart",
    "cluster.local/ns/shop/*",
    "*/sa/cart",
    "*",
    "old-td/ns/legacy/sa/cart",
    "*-td/ns/legacy/sa/cart",
    "far.org/ns/shop/sa/cart",
    "cluster.local/ns/shop/sa/ca*",
    "cluster.local/ns/banana/sa/a.b",
    "nobody",
];
const NAMESPACES: &[&str] = &["shop", "sh*", "*op", "*a", "*", "legacy", "b*", "a.b"];
const ACCOUNTS: &[&str] = &["shop/cart", "cart", "legacy/cart", "banana/a.b", "web"];
const DOMAINS: &[&str] = &["cluster.local", "old-td", "far.org", "*.org", "far*", "*"];
const BLOCKS: &[&str] =
    &["10.0.0.0/8", "10.1.0.0/16", "10.0.0.1", "192.168.0.0/24", "fd00::/8", "0.0.0.0/0", "fd00::1"];
const REQUEST_PRINCIPALS: &[&str] =
    &["https://one/ann", "https://one/*", "*", "*/ann", "two/b*", "*nn", "two/bob", "three/ann"];
const HOSTS: &[&str] = &["web.shop", "WEB.SHOP", "*.example.com", "api.*", "*", "api.example.com:8080"];
const PORTS: &[&str] = &["80", "9000", "81"];
const METHODS: &[&str] = &["GET", "POST", "P*", "*T", "*", "DELETE"];
const PATHS: &[&str] = &[
    "/api/*",
    "/admin",
    "*.json",
    "*",
    "/api/*/b",
    "/api/*/y/*",
    "/api/{*}",
    "/api/{*}/b",
    "/api/{**}",
    "/a.json",
    "/",
];
const TEXTS: &[&str] = &["1", "2*", "*1", "*", "admin", "ad*"];

fn set(d: &mut Draw, from: &[&str]) -> Set {
    match d.number(4) {
        0 => Set { any: Vec::new(), none: d.few(from) },
        1 => Set { any: d.few(from), none: d.few(from) },
        _ => Set { any: d.few(from), none: Vec::new() },
    }
}

fn source(d: &mut Draw, custom: bool) -> Vec<(&'static str, Set)> {
    let by_account = d.percent(30);
    let all: &[(&'static str, &[&str])] = match (custom, by_account) {
        (true, _) => &[("ipBlocks", BLOCKS), ("remoteIpBlocks", BLOCKS)],
        (_, true) => &[("serviceAccounts", ACCOUNTS), ("trustDomains", DOMAINS), ("ipBlocks", BLOCKS)],
        _ => &[
            ("principals", PRINCIPALS),
            ("namespaces", NAMESPACES),
            ("trustDomains", DOMAINS),
            ("ipBlocks", BLOCKS),
            ("remoteIpBlocks", BLOCKS),
            ("requestPrincipals", REQUEST_PRINCIPALS),
        ],
    };
    fields(d, all)
}

fn fields(d: &mut Draw, all: &[(&'static str, &[&str])]) -> Vec<(&'static str, Set)> {
    let mut out: Vec<(&'static str, Set)> = Vec::new();
    for _ in 0..1 + d.number(2) {
        let (name, values) = all[d.number(all.len())];
        if out.iter().all(|(n, _)| *n != name) {
            out.push((name, set(d, values)));
        }
    }
    out
}

fn condition(d: &mut Draw, custom: bool) -> (String, Set) {
    let all: &[(&str, &[&str])] = &[
        ("source.ip", BLOCKS),
        ("remote.ip", BLOCKS),
        ("destination.ip", BLOCKS),
        ("destination.port", PORTS),
        ("connection.sni", &["web.shop", "*.example.com", "*", "x*"]),
        ("request.headers[x-a]", TEXTS),
        ("request.headers[X-B]", TEXTS),
        ("source.namespace", NAMESPACES),
        ("source.principal", PRINCIPALS),
        ("source.serviceAccount", ACCOUNTS),
        ("source.trustDomain", DOMAINS),
        ("request.auth.principal", REQUEST_PRINCIPALS),
        ("request.auth.audiences", &["shop", "s*", "*", "pay"]),
        ("request.auth.presenter", &["app", "*"]),
        ("request.auth.claims[role]", TEXTS),
        ("request.auth.claims[a][b]", TEXTS),
    ];
    let count = if custom { 7 } else { all.len() };
    let (key, values) = all[d.number(count)];
    (key.to_owned(), set(d, values))
}

fn rule(d: &mut Draw, custom: bool) -> Rule {
    let operations: &[(&'static str, &[&str])] =
        &[("hosts", HOSTS), ("ports", PORTS), ("methods", METHODS), ("paths", PATHS)];
    Rule {
        from: (0..[0, 1, 1, 2][d.number(4)]).map(|_| source(d, custom)).collect(),
        to: (0..[0, 1, 1, 2][d.number(4)]).map(|_| fields(d, operations)).collect(),
        when: (0..[0, 0, 1, 2][d.number(4)]).map(|_| condition(d, custom)).collect(),
    }
}

/// A random set of policies.
pub fn policies(d: &mut Draw) -> Vec<Policy> {
    let count = if d.percent(10) { 12 } else { 1 + d.number(5) };
    (0..count)
        .map(|i| {
            let action = d.one(&["ALLOW", "ALLOW", "ALLOW", "DENY", "DENY", "AUDIT", "CUSTOM"]);
            let custom = action == "CUSTOM";
            let least = usize::from(matches!(action, "DENY" | "CUSTOM"));
            Policy {
                name: format!("p{i}"),
                namespace: d.one(&["shop", "shop", "shop", "istio-system", "other"]),
                selector: [None, None, Some(("app", "web")), Some(("app", "cart"))][d.number(4)],
                targeted: d.percent(5),
                action,
                dry_run: matches!(action, "ALLOW" | "DENY") && d.percent(15),
                rules: (0..least + d.number(3)).map(|_| rule(d, custom)).collect(),
            }
        })
        .collect()
}

impl Policy {
    /// The document.
    pub fn document(&self) -> Value {
        let mut spec = Map::new();
        spec.insert("action".into(), json!(self.action));
        if self.action == "CUSTOM" {
            spec.insert("provider".into(), json!({ "name": "opa" }));
        }
        if self.targeted {
            let target = json!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge" });
            spec.insert("targetRefs".into(), json!([target]));
        } else if let Some((label, value)) = self.selector {
            spec.insert("selector".into(), json!({ "matchLabels": { label: value } }));
        }
        spec.insert("rules".into(), self.rules.iter().map(Rule::document).collect());
        let dry_run = if self.dry_run { json!({ "istio.io/dry-run": "true" }) } else { json!({}) };
        json!({
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": { "name": self.name, "namespace": self.namespace, "annotations": dry_run },
            "spec": spec,
        })
    }
}

impl Rule {
    fn document(&self) -> Value {
        let said = |fields: &[(&'static str, Set)]| -> Value {
            let mut out = Map::new();
            for (name, Set { any, none }) in fields {
                let (first, rest) = name.split_at(1);
                let not = format!("not{}{rest}", first.to_ascii_uppercase());
                for (name, values) in [((*name).to_owned(), any), (not, none)] {
                    if !values.is_empty() {
                        out.insert(name, json!(values));
                    }
                }
            }
            out.into()
        };
        let mut out = Map::new();
        if !self.from.is_empty() {
            out.insert("from".into(), self.from.iter().map(|s| json!({ "source": said(s) })).collect());
        }
        if !self.to.is_empty() {
            out.insert("to".into(), self.to.iter().map(|o| json!({ "operation": said(o) })).collect());
        }
        if !self.when.is_empty() {
            let condition = |(key, Set { any, none }): &(String, Set)| {
                let mut out = json!({ "key": key });
                for (name, values) in [("values", any), ("notValues", none)] {
                    if !values.is_empty() {
                        out[name] = json!(values);
                    }
                }
                out
            };
            out.insert("when".into(), self.when.iter().map(condition).collect());
        }
        out.into()
    }
}
