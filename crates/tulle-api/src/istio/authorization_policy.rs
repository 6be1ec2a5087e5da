//! `AuthorizationPolicy` (`security.istio.io`): who may do what.

use super::common::{PolicyTargetReference, WorkloadSelector};
use crate::schema::{enumeration, oneof, record};

record! {
    /// Who may do what at a workload. One without rules matches nothing: as ALLOW it denies everything.
    pub struct AuthorizationPolicy {
        /// Workloads; the whole namespace by default, the whole mesh in the root namespace.
        pub selector: Option<WorkloadSelector> = "selector",
        /// A Gateway or waypoint that this is for.
        pub target_ref: Option<PolicyTargetReference> = "targetRef",
        /// Gateways, waypoints or services that this is for; excludes `selector`.
        pub target_refs: Vec<PolicyTargetReference> = "targetRefs",
        /// Rules, one of which must match.
        pub rules: Vec<AuthorizationRule> = "rules",
        /// What a match means; ALLOW by default.
        pub action: Option<AuthorizationAction> = "action",
    }
    oneof {
        /// Details of the action.
        pub action_detail: ActionDetail,
    }
}

enumeration! {
    /// What a match means.
    pub enum AuthorizationAction {
        /// The request is allowed.
        Allow = "ALLOW",
        /// The request is denied.
        Deny = "DENY",
        /// The request is recorded; decides nothing.
        Audit = "AUDIT",
        /// The provider is asked.
        Custom = "CUSTOM",
    }
}

oneof! {
    /// Details of an action.
    pub enum ActionDetail {
        /// Who is asked; for CUSTOM.
        Provider(ExtensionProvider) = "provider",
    }
}

record! {
    /// An extension provider of the mesh configuration.
    pub struct ExtensionProvider {
        /// Its name.
        pub name: String = "name",
    }
}

record! {
    /// A rule: from, to and when must all hold; what is left out always holds.
    pub struct AuthorizationRule {
        /// Sources, one of which must match.
        pub from: Vec<RuleFrom> = "from" => not_empty,
        /// Operations, one of which must match.
        pub to: Vec<RuleTo> = "to" => not_empty,
        /// Conditions, all of which must hold.
        pub when: Vec<Condition> = "when",
    }
}

record! {
    /// Where a request comes from.
    pub struct RuleFrom {
        /// The source.
        pub source: Option<Source> = "source",
    }
}

record! {
    /// Properties of a source, all of which must hold. In each list one must match; `*` is a wildcard at either end.
    pub struct Source {
        /// Identities as `TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`; needs mutual TLS.
        pub principals: Vec<String> = "principals",
        /// Identities that must not match.
        pub not_principals: Vec<String> = "notPrincipals",
        /// Identities from a token as `ISSUER/SUBJECT`.
        pub request_principals: Vec<String> = "requestPrincipals",
        /// Identities from a token that must not match.
        pub not_request_principals: Vec<String> = "notRequestPrincipals",
        /// Namespaces; needs mutual TLS.
        pub namespaces: Vec<String> = "namespaces",
        /// Namespaces that must not match.
        pub not_namespaces: Vec<String> = "notNamespaces",
        /// Service accounts as `[NAMESPACE/]NAME`, without wildcard; excludes principals and namespaces.
        pub service_accounts: Vec<String> = "serviceAccounts",
        /// Service accounts that must not match.
        pub not_service_accounts: Vec<String> = "notServiceAccounts",
        /// Addresses of the packet, IP or CIDR.
        pub ip_blocks: Vec<String> = "ipBlocks",
        /// Addresses of the packet that must not match.
        pub not_ip_blocks: Vec<String> = "notIpBlocks",
        /// Addresses of the client by X-Forwarded-For or PROXY protocol, IP or CIDR.
        pub remote_ip_blocks: Vec<String> = "remoteIpBlocks",
        /// Addresses of the client that must not match.
        pub not_remote_ip_blocks: Vec<String> = "notRemoteIpBlocks",
        /// Trust domains; needs mutual TLS.
        pub trust_domains: Vec<String> = "trustDomains",
        /// Trust domains that must not match.
        pub not_trust_domains: Vec<String> = "notTrustDomains",
    }
}

record! {
    /// What a request wants.
    pub struct RuleTo {
        /// The operation.
        pub operation: Option<Operation> = "operation",
    }
}

record! {
    /// Properties of an operation, all of which must hold. In each list one must match; `*` is a wildcard at either end.
    pub struct Operation {
        /// Hosts, without regard to case; HTTP only.
        pub hosts: Vec<String> = "hosts",
        /// Hosts that must not match.
        pub not_hosts: Vec<String> = "notHosts",
        /// Ports, as text.
        pub ports: Vec<String> = "ports",
        /// Ports that must not match.
        pub not_ports: Vec<String> = "notPorts",
        /// Methods; HTTP only, POST for gRPC.
        pub methods: Vec<String> = "methods",
        /// Methods that must not match.
        pub not_methods: Vec<String> = "notMethods",
        /// Paths, also with `{*}` for one segment and `{**}` for any number; HTTP only.
        pub paths: Vec<String> = "paths",
        /// Paths that must not match.
        pub not_paths: Vec<String> = "notPaths",
    }
}

record! {
    /// A condition on an attribute.
    pub struct Condition {
        /// The attribute, such as `request.headers[x-id]` or `request.auth.claims[role]`.
        pub key: String = "key" => required,
        /// Values, one of which must match.
        pub values: Vec<String> = "values",
        /// Values that must not match.
        pub not_values: Vec<String> = "notValues",
    }
}
