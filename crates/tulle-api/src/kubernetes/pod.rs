//! `Pod` (core v1).

use serde_json::Value;
use tulle_base::Labels;

use super::container::{Container, RestartPolicy};
use super::volume::Volume;
use crate::meta::ObjectMeta;
use crate::schema::record;

record! {
    /// What runs in a pod.
    pub struct PodSpec {
        /// Its containers.
        pub containers: Vec<Container> = "containers" => keyed(&["name"]) => required,
        /// Containers that run before the others, one after the other.
        pub init_containers: Vec<Container> = "initContainers" => keyed(&["name"]),
        /// Files for the containers.
        pub volumes: Vec<Volume> = "volumes" => keyed(&["name"]) => retain_keys,
        /// When containers are started again; Always by default.
        pub restart_policy: Option<RestartPolicy> = "restartPolicy",
        /// Identity; `default` when empty.
        pub service_account_name: String = "serviceAccountName",
        /// Old name of `serviceAccountName`.
        pub service_account: String = "serviceAccount" => deprecated("write serviceAccountName"),
        /// Whether a token is mounted; true by default.
        pub automount_service_account_token: Option<bool> = "automountServiceAccountToken",
        /// Seconds from the signal to stop until the kill; 30 by default.
        pub termination_grace_period_seconds: Option<i64> = "terminationGracePeriodSeconds",
        /// Seconds that the pod may run.
        pub active_deadline_seconds: Option<i64> = "activeDeadlineSeconds",
        /// User, group and the like of all containers.
        pub security_context: Option<PodSecurityContext> = "securityContext",
        /// Host name; the pod's name by default.
        pub hostname: String = "hostname",
        /// Domain below the namespace's, for headless services.
        pub subdomain: String = "subdomain",
        /// More names for /etc/hosts.
        pub host_aliases: Vec<HostAlias> = "hostAliases" => keyed(&["ip"]),
        /// Whether the pod uses the host's network.
        pub host_network: Option<bool> = "hostNetwork",
        /// Whether variables for services are set; true by default.
        pub enable_service_links: Option<bool> = "enableServiceLinks",
        /// Whether containers see each other's processes.
        pub share_process_namespace: Option<bool> = "shareProcessNamespace",
        /// Where names are looked up.
        pub dns_policy: String = "dnsPolicy" => no_effect("pods use the mesh's DNS"),
        /// Details of the look-up.
        pub dns_config: Option<Value> = "dnsConfig" => no_effect("pods use the mesh's DNS"),
        /// The node.
        pub node_name: String = "nodeName" => no_effect("there is one machine"),
        /// Labels of the node.
        pub node_selector: Labels = "nodeSelector" => atomic => no_effect("there is one machine"),
        /// Preference for nodes.
        pub affinity: Option<Value> = "affinity" => no_effect("there is one machine"),
        /// Tainted nodes that will do.
        pub tolerations: Vec<Value> = "tolerations" => no_effect("there is one machine"),
        /// How pods are spread.
        pub topology_spread_constraints: Vec<Value> = "topologySpreadConstraints"
            => keyed(&["topologyKey", "whenUnsatisfiable"])
            => no_effect("there is one machine"),
        /// Who places the pod.
        pub scheduler_name: String = "schedulerName" => no_effect("there is one machine"),
        /// What must happen before it is placed.
        pub scheduling_gates: Vec<Value> = "schedulingGates" => keyed(&["name"])
            => no_effect("there is one machine"),
        /// Rank when space is short.
        pub priority_class_name: String = "priorityClassName" => no_effect("pods do not compete on one machine"),
        /// Rank when space is short.
        pub priority: Option<i32> = "priority" => no_effect("pods do not compete on one machine"),
        /// Whether others give way.
        pub preemption_policy: String = "preemptionPolicy" => no_effect("pods do not compete on one machine"),
        /// How the pod is run.
        pub runtime_class_name: String = "runtimeClassName" => no_effect("pods are processes on one machine"),
        /// Resources of the pod itself.
        pub overhead: Option<Value> = "overhead" => no_effect("processes on one machine share what there is"),
        /// Resources of the pod as a whole.
        pub resources: Option<Value> = "resources" => no_effect("processes on one machine share what there is"),
        /// Operating system.
        pub os: Option<Value> = "os" => no_effect("there is one machine"),
        /// Whether the host name is the full name.
        pub set_hostname_as_fqdn: Option<bool> = "setHostnameAsFQDN" => no_effect("the host name is the short one"),
        /// Whether the pod sees the host's processes.
        pub host_pid: Option<bool> = "hostPID" => no_effect("pods see only the mesh's processes"),
        /// Whether the pod shares the host's IPC.
        pub host_ipc: Option<bool> = "hostIPC" => no_effect("pods have the mesh's IPC"),
        /// Whether the pod has the host's users.
        pub host_users: Option<bool> = "hostUsers" => no_effect("pods have the mesh's users"),
        /// Credentials for image registries.
        pub image_pull_secrets: Vec<Value> = "imagePullSecrets" => keyed(&["name"])
            => no_effect("no images are pulled on one machine"),
        /// Containers for debugging.
        pub ephemeral_containers: Vec<Value> = "ephemeralContainers" => keyed(&["name"])
            => no_effect("use exec"),
        /// What else must hold before the pod is ready.
        pub readiness_gates: Vec<Value> = "readinessGates" => no_effect("readiness is the containers' alone"),
        /// Claims of devices.
        pub resource_claims: Vec<Value> = "resourceClaims" => keyed(&["name"])
            => no_effect("there are no device claims on one machine"),
    }
}

record! {
    /// User, group and the like of all containers of a pod.
    pub struct PodSecurityContext {
        /// User id.
        pub run_as_user: Option<i64> = "runAsUser",
        /// Group id.
        pub run_as_group: Option<i64> = "runAsGroup",
        /// Refuses to run as root.
        pub run_as_non_root: Option<bool> = "runAsNonRoot",
        /// Group of volumes.
        pub fs_group: Option<i64> = "fsGroup",
        /// More groups.
        pub supplemental_groups: Vec<i64> = "supplementalGroups",
        /// How groups are combined.
        pub supplemental_groups_policy: String = "supplementalGroupsPolicy" => no_effect("groups are merged"),
        /// When the group of volumes is changed.
        pub fs_group_change_policy: String = "fsGroupChangePolicy" => no_effect("volumes are made with the pod"),
        /// Kernel parameters.
        pub sysctls: Vec<Value> = "sysctls" => no_effect("kernel parameters are not changed"),
        /// System call filter.
        pub seccomp_profile: Option<Value> = "seccompProfile" => no_effect("no system call filter is loaded"),
        /// SELinux labels.
        pub se_linux_options: Option<Value> = "seLinuxOptions" => no_effect("no security module is set up"),
        /// When SELinux labels change.
        pub se_linux_change_policy: String = "seLinuxChangePolicy" => no_effect("no security module is set up"),
        /// AppArmor profile.
        pub app_armor_profile: Option<Value> = "appArmorProfile" => no_effect("no security module is set up"),
        /// Windows.
        pub windows_options: Option<Value> = "windowsOptions" => no_effect("this is not Windows"),
    }
}

record! {
    /// Names for an address.
    pub struct HostAlias {
        /// The address.
        pub ip: String = "ip" => required,
        /// The names.
        pub hostnames: Vec<String> = "hostnames",
    }
}

record! {
    /// A pod as others make it.
    pub struct PodTemplateSpec {
        /// Labels and annotations of the pods.
        pub metadata: ObjectMeta = "metadata",
        /// What runs in them.
        pub spec: PodSpec = "spec",
    }
}
