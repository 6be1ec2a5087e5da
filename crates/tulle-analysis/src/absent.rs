//! Istio's codes that no analyzer here has, each with the reason.

/// Code, Istio's name of the message, and where the same is found or why it cannot be.
pub const ABSENT: &[(&str, &str, &str)] = &[
    ("IST0001", "InternalError", "a tool's own failure; analyzers here cannot fail"),
    ("IST0002", "Deprecated", "validation reports it, with line and field"),
    ("IST0106", "SchemaValidationError", "validation reports it, with line and field"),
    (
        "IST0109",
        "ConflictingMeshGatewayVirtualServiceHosts",
        "the model reports it, with the winner and the loser",
    ),
    (
        "IST0126",
        "UnknownMeshNetworksServiceRegistry",
        "a control plane knows its own cluster alone; what meshNetworks says of others is for their control planes",
    ),
    ("IST0133", "SchemaWarning", "validation reports it, with line and field"),
    ("IST0139", "InvalidWebhook", "about webhooks that Istio's installer makes; injection here has none"),
    ("IST0141", "InsufficientPermissions", "about permissions of Istio's installer"),
    ("IST0142", "UnsupportedKubernetesVersion", "about clusters that Istio's installer meets"),
    ("IST0148", "NamespaceInjectionEnabledByDefault", "injection is never on without a label here"),
    (
        "IST0156",
        "UnsupportedGatewayAPIVersion",
        "about definitions of a cluster that Istio's installer meets",
    ),
    (
        "IST0158",
        "PodsIstioProxyImageMismatchInNamespace",
        "the proxy is this program; there is one version of it",
    ),
    ("IST0163", "InvalidExternalControlPlaneConfig", "the control plane is never outside of the mesh"),
    (
        "IST0164",
        "ExternalControlPlaneAddressIsNotAHostname",
        "the control plane is never outside of the mesh",
    ),
    ("IST0168", "UnknownUpgradeCompatibility", "about upgrades of Istio"),
    ("IST0169", "UpdateIncompatibility", "about upgrades of Istio"),
    ("IST0170", "MultiClusterInconsistentService", "there is one cluster"),
    (
        "IST0172",
        "FutureUnsupportedGatewayAPIVersion",
        "about definitions of a cluster that Istio's installer meets",
    ),
    (
        "IST0176",
        "GatewayAPICRDVersionBelowMinimum",
        "about definitions of a cluster that Istio's installer meets",
    ),
];
