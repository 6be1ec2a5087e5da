//! Numbers of the fields that are read, as `generated.proto` of Kubernetes' API has them.

/// The table of a message.
pub(super) struct Message {
    /// Its name.
    pub(super) name: &'static str,
    /// Its fields.
    pub(super) fields: &'static [Field],
}

/// A field of a message.
pub(super) struct Field {
    /// Its number.
    pub(super) number: u64,
    /// Its name in JSON.
    pub(super) name: &'static str,
    /// Its type.
    pub(super) of: Type,
}

/// The type of a field.
#[derive(Clone, Copy)]
pub(super) enum Type {
    Text,
    Texts,
    /// A number of which 0 means that it is not set.
    Int,
    /// A number that is set when it is written.
    SetInt,
    /// A boolean of which `false` means that it is not set.
    Bool,
    /// A boolean that is set when it is written.
    SetBool,
    Message(&'static Message),
    Messages(&'static Message),
    TextMap,
    BytesMap,
    IntOrText,
    /// What the server sets: read over.
    Skipped,
}

use Type::{
    Bool, BytesMap, Int, IntOrText, Message as One, Messages as Many, SetBool, SetInt, Skipped, Text,
    TextMap, Texts,
};

const fn f(number: u64, name: &'static str, of: Type) -> Field {
    Field { number, name, of }
}

/// The table of a kind.
pub(super) fn of(api_version: &str, kind: &str) -> Option<&'static Message> {
    Some(match (api_version, kind) {
        ("v1", "Namespace") => &NAMESPACE,
        ("v1", "ConfigMap") => &CONFIG_MAP,
        ("v1", "Secret") => &SECRET,
        ("v1", "ServiceAccount") => &SERVICE_ACCOUNT,
        ("v1", "Service") => &SERVICE,
        ("apps/v1", "Deployment") => &DEPLOYMENT,
        ("batch/v1", "Job") => &JOB,
        ("authentication.k8s.io/v1", "SelfSubjectReview") => &REVIEW,
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => &ACCESS_REVIEW,
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => &RULES_REVIEW,
        (_, "DeleteOptions") => &DELETE_OPTIONS,
        _ => return None,
    })
}

pub(super) static TYPE_META: Message =
    Message { name: "TypeMeta", fields: &[f(1, "apiVersion", Text), f(2, "kind", Text)] };

static META: Message = Message {
    name: "ObjectMeta",
    fields: &[
        f(1, "name", Text),
        f(2, "generateName", Text),
        f(3, "namespace", Text),
        f(4, "selfLink", Skipped),
        f(5, "uid", Text),
        f(6, "resourceVersion", Text),
        f(7, "generation", Skipped),
        f(8, "creationTimestamp", Skipped),
        f(11, "labels", TextMap),
        f(12, "annotations", TextMap),
        f(14, "finalizers", Texts),
    ],
};

static NAMESPACE: Message = Message {
    name: "Namespace",
    fields: &[f(1, "metadata", One(&META)), f(2, "spec", One(&NAMESPACE_SPEC)), f(3, "status", Skipped)],
};

static NAMESPACE_SPEC: Message = Message { name: "NamespaceSpec", fields: &[f(1, "finalizers", Texts)] };

static CONFIG_MAP: Message = Message {
    name: "ConfigMap",
    fields: &[
        f(1, "metadata", One(&META)),
        f(2, "data", TextMap),
        f(3, "binaryData", BytesMap),
        f(4, "immutable", SetBool),
    ],
};

static SECRET: Message = Message {
    name: "Secret",
    fields: &[
        f(1, "metadata", One(&META)),
        f(2, "data", BytesMap),
        f(3, "type", Text),
        f(4, "stringData", TextMap),
        f(5, "immutable", SetBool),
    ],
};

static SERVICE_ACCOUNT: Message = Message {
    name: "ServiceAccount",
    fields: &[
        f(1, "metadata", One(&META)),
        f(3, "imagePullSecrets", Many(&REFERENCE)),
        f(4, "automountServiceAccountToken", SetBool),
    ],
};

static REFERENCE: Message = Message { name: "LocalObjectReference", fields: &[f(1, "name", Text)] };

static SERVICE: Message = Message {
    name: "Service",
    fields: &[f(1, "metadata", One(&META)), f(2, "spec", One(&SERVICE_SPEC)), f(3, "status", Skipped)],
};

static SERVICE_SPEC: Message = Message {
    name: "ServiceSpec",
    fields: &[
        f(1, "ports", Many(&SERVICE_PORT)),
        f(2, "selector", TextMap),
        f(3, "clusterIP", Text),
        f(4, "type", Text),
        f(5, "externalIPs", Texts),
        f(7, "sessionAffinity", Text),
        f(8, "loadBalancerIP", Text),
        f(9, "loadBalancerSourceRanges", Texts),
        f(10, "externalName", Text),
        f(11, "externalTrafficPolicy", Text),
        f(12, "healthCheckNodePort", Int),
        f(13, "publishNotReadyAddresses", Bool),
        f(17, "ipFamilyPolicy", Text),
        f(18, "clusterIPs", Texts),
        f(19, "ipFamilies", Texts),
        f(20, "allocateLoadBalancerNodePorts", SetBool),
        f(21, "loadBalancerClass", Text),
        f(22, "internalTrafficPolicy", Text),
        f(23, "trafficDistribution", Text),
    ],
};

static SERVICE_PORT: Message = Message {
    name: "ServicePort",
    fields: &[
        f(1, "name", Text),
        f(2, "protocol", Text),
        f(3, "port", Int),
        f(4, "targetPort", IntOrText),
        f(5, "nodePort", Int),
        f(6, "appProtocol", Text),
    ],
};

static DEPLOYMENT: Message = Message {
    name: "Deployment",
    fields: &[f(1, "metadata", One(&META)), f(2, "spec", One(&DEPLOYMENT_SPEC)), f(3, "status", Skipped)],
};

static DEPLOYMENT_SPEC: Message = Message {
    name: "DeploymentSpec",
    fields: &[
        f(1, "replicas", SetInt),
        f(2, "selector", One(&SELECTOR)),
        f(3, "template", One(&TEMPLATE)),
        f(4, "strategy", One(&STRATEGY)),
        f(5, "minReadySeconds", Int),
        f(6, "revisionHistoryLimit", SetInt),
        f(7, "paused", Bool),
        f(9, "progressDeadlineSeconds", SetInt),
    ],
};

static STRATEGY: Message = Message { name: "DeploymentStrategy", fields: &[f(1, "type", Text)] };

static SELECTOR: Message = Message { name: "LabelSelector", fields: &[f(1, "matchLabels", TextMap)] };

static JOB: Message = Message {
    name: "Job",
    fields: &[f(1, "metadata", One(&META)), f(2, "spec", One(&JOB_SPEC)), f(3, "status", Skipped)],
};

static JOB_SPEC: Message = Message {
    name: "JobSpec",
    fields: &[
        f(1, "parallelism", SetInt),
        f(2, "completions", SetInt),
        f(3, "activeDeadlineSeconds", SetInt),
        f(4, "selector", One(&SELECTOR)),
        f(6, "template", One(&TEMPLATE)),
        f(7, "backoffLimit", SetInt),
        f(8, "ttlSecondsAfterFinished", SetInt),
        f(10, "suspend", SetBool),
    ],
};

static TEMPLATE: Message = Message {
    name: "PodTemplateSpec",
    fields: &[f(1, "metadata", One(&META)), f(2, "spec", One(&POD_SPEC))],
};

static POD_SPEC: Message = Message {
    name: "PodSpec",
    fields: &[
        f(2, "containers", Many(&CONTAINER)),
        f(3, "restartPolicy", Text),
        f(4, "terminationGracePeriodSeconds", SetInt),
        f(5, "activeDeadlineSeconds", SetInt),
        f(6, "dnsPolicy", Text),
        f(7, "nodeSelector", TextMap),
        f(8, "serviceAccountName", Text),
        f(10, "nodeName", Text),
        f(11, "hostNetwork", Bool),
        f(15, "imagePullSecrets", Many(&REFERENCE)),
        f(16, "hostname", Text),
        f(17, "subdomain", Text),
        f(20, "initContainers", Many(&CONTAINER)),
        f(21, "automountServiceAccountToken", SetBool),
    ],
};

static CONTAINER: Message = Message {
    name: "Container",
    fields: &[
        f(1, "name", Text),
        f(2, "image", Text),
        f(3, "command", Texts),
        f(4, "args", Texts),
        f(5, "workingDir", Text),
        f(6, "ports", Many(&CONTAINER_PORT)),
        f(7, "env", Many(&ENV)),
        f(13, "terminationMessagePath", Text),
        f(14, "imagePullPolicy", Text),
        f(16, "stdin", Bool),
        f(17, "stdinOnce", Bool),
        f(18, "tty", Bool),
        f(20, "terminationMessagePolicy", Text),
    ],
};

static CONTAINER_PORT: Message = Message {
    name: "ContainerPort",
    fields: &[
        f(1, "name", Text),
        f(2, "hostPort", Int),
        f(3, "containerPort", Int),
        f(4, "protocol", Text),
        f(5, "hostIP", Text),
    ],
};

static ENV: Message = Message { name: "EnvVar", fields: &[f(1, "name", Text), f(2, "value", Text)] };

static REVIEW: Message =
    Message { name: "SelfSubjectReview", fields: &[f(1, "metadata", One(&META)), f(2, "status", Skipped)] };

static ACCESS_REVIEW: Message = Message {
    name: "SelfSubjectAccessReview",
    fields: &[f(1, "metadata", One(&META)), f(2, "spec", One(&ACCESS_SPEC)), f(3, "status", Skipped)],
};

static ACCESS_SPEC: Message = Message {
    name: "SelfSubjectAccessReviewSpec",
    fields: &[
        f(1, "resourceAttributes", One(&RESOURCE_ATTRIBUTES)),
        f(2, "nonResourceAttributes", One(&NON_RESOURCE_ATTRIBUTES)),
    ],
};

static RESOURCE_ATTRIBUTES: Message = Message {
    name: "ResourceAttributes",
    fields: &[
        f(1, "namespace", Text),
        f(2, "verb", Text),
        f(3, "group", Text),
        f(4, "version", Text),
        f(5, "resource", Text),
        f(6, "subresource", Text),
        f(7, "name", Text),
    ],
};

static NON_RESOURCE_ATTRIBUTES: Message =
    Message { name: "NonResourceAttributes", fields: &[f(1, "path", Text), f(2, "verb", Text)] };

static RULES_REVIEW: Message = Message {
    name: "SelfSubjectRulesReview",
    fields: &[f(1, "metadata", One(&META)), f(2, "spec", One(&RULES_SPEC)), f(3, "status", Skipped)],
};

static RULES_SPEC: Message =
    Message { name: "SelfSubjectRulesReviewSpec", fields: &[f(1, "namespace", Text)] };

static DELETE_OPTIONS: Message = Message {
    name: "DeleteOptions",
    fields: &[
        f(1, "gracePeriodSeconds", SetInt),
        f(2, "preconditions", One(&PRECONDITIONS)),
        f(3, "orphanDependents", SetBool),
        f(4, "propagationPolicy", Text),
        f(5, "dryRun", Texts),
    ],
};

static PRECONDITIONS: Message =
    Message { name: "Preconditions", fields: &[f(1, "uid", Text), f(2, "resourceVersion", Text)] };
