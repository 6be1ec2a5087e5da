//! Containers of a pod, and their environment.

use serde_json::Value;

use super::probe::{Lifecycle, Probe};
use super::service::TransportProtocol;
use super::volume::VolumeMount;
use crate::schema::{enumeration, record};

record! {
    /// A container: a process of the pod.
    pub struct Container {
        /// Name, unique in the pod.
        pub name: String = "name" => required,
        /// Image. On one machine it names a built-in program, unless `command` is given.
        pub image: String = "image",
        /// Program, instead of the image's.
        pub command: Vec<String> = "command",
        /// Arguments.
        pub args: Vec<String> = "args",
        /// Working directory.
        pub working_dir: String = "workingDir",
        /// Ports that it listens on; informative, but probes and services name them.
        pub ports: Vec<ContainerPort> = "ports" => keyed(&["containerPort", "protocol"]),
        /// Environment.
        pub env: Vec<EnvVar> = "env" => keyed(&["name"]),
        /// Environment from whole ConfigMaps and Secrets.
        pub env_from: Vec<EnvFromSource> = "envFrom",
        /// Where volumes appear.
        pub volume_mounts: Vec<VolumeMount> = "volumeMounts" => keyed(&["mountPath"]),
        /// Restarts the container when it fails.
        pub liveness_probe: Option<Probe> = "livenessProbe",
        /// Takes the pod out of its services when it fails.
        pub readiness_probe: Option<Probe> = "readinessProbe",
        /// Holds the other probes back until it succeeds.
        pub startup_probe: Option<Probe> = "startupProbe",
        /// What is done at start and end.
        pub lifecycle: Option<Lifecycle> = "lifecycle",
        /// `Always` makes an init container a sidecar, which runs beside the others.
        pub restart_policy: Option<RestartPolicy> = "restartPolicy",
        /// User, group and the like.
        pub security_context: Option<SecurityContext> = "securityContext",
        /// Processor and memory.
        pub resources: Option<Value> = "resources" => no_effect("processes on one machine share what there is"),
        /// When the image is pulled.
        pub image_pull_policy: String = "imagePullPolicy" => no_effect("no images are pulled on one machine"),
        /// Where a last message is read from.
        pub termination_message_path: String = "terminationMessagePath" => no_effect("the log has the last message"),
        /// How a last message is read.
        pub termination_message_policy: String = "terminationMessagePolicy" => no_effect("the log has the last message"),
        /// Whether it has a terminal.
        pub tty: Option<bool> = "tty" => no_effect("containers have no terminal on one machine"),
        /// Whether it has an input.
        pub stdin: Option<bool> = "stdin" => no_effect("containers have no input on one machine"),
        /// Whether the input closes.
        pub stdin_once: Option<bool> = "stdinOnce" => no_effect("containers have no input on one machine"),
        /// Block devices.
        pub volume_devices: Vec<Value> = "volumeDevices" => keyed(&["devicePath"])
            => no_effect("there are no block volumes on one machine"),
        /// Which resources can change without restart.
        pub resize_policy: Vec<Value> = "resizePolicy" => no_effect("resources are not limited on one machine"),
    }
}

enumeration! {
    /// When a container is started again after its end.
    pub enum RestartPolicy {
        /// Always.
        Always = "Always",
        /// When its exit code was not 0.
        OnFailure = "OnFailure",
        /// Never.
        Never = "Never",
    }
}

record! {
    /// A port that a container listens on.
    pub struct ContainerPort {
        /// Name, for probes and services.
        pub name: String = "name",
        /// Port number.
        pub container_port: i32 = "containerPort",
        /// Transport protocol; TCP by default.
        pub protocol: Option<TransportProtocol> = "protocol" => or_text("TCP"),
        /// Port of the node.
        pub host_port: Option<i32> = "hostPort" => no_effect("only the gateway is reachable from outside"),
        /// Address of the node.
        pub host_ip: String = "hostIP" => no_effect("only the gateway is reachable from outside"),
    }
}

record! {
    /// A variable of the environment.
    pub struct EnvVar {
        /// Name.
        pub name: String = "name" => required,
        /// Value; `$(OTHER)` stands for a variable above.
        pub value: String = "value",
        /// Where the value comes from instead.
        pub value_from: Option<EnvVarSource> = "valueFrom",
    }
}

record! {
    /// Where the value of a variable comes from; one of these.
    pub struct EnvVarSource {
        /// A field of the pod: `metadata.name`, `metadata.namespace`, `metadata.uid`, `metadata.labels['KEY']`,
        /// `metadata.annotations['KEY']`, `spec.nodeName`, `spec.serviceAccountName`, `status.hostIP`, `status.podIP`,
        /// `status.podIPs`.
        pub field_ref: Option<ObjectFieldSelector> = "fieldRef" => atomic,
        /// A key of a ConfigMap.
        pub config_map_key_ref: Option<KeySelector> = "configMapKeyRef" => atomic,
        /// A key of a Secret.
        pub secret_key_ref: Option<KeySelector> = "secretKeyRef" => atomic,
        /// A resource of the container.
        pub resource_field_ref: Option<ResourceFieldSelector> = "resourceFieldRef" => atomic,
    }
}

record! {
    /// A field of the pod.
    pub struct ObjectFieldSelector {
        /// API version of the path.
        pub api_version: String = "apiVersion",
        /// The path.
        pub field_path: String = "fieldPath" => required,
    }
}

record! {
    /// A resource of a container.
    pub struct ResourceFieldSelector {
        /// The container.
        pub container_name: String = "containerName",
        /// The resource, such as `limits.cpu`.
        pub resource: String = "resource" => required,
        /// The unit.
        pub divisor: Option<Value> = "divisor",
    }
}

record! {
    /// A key of a ConfigMap or Secret.
    pub struct KeySelector {
        /// Name of the ConfigMap or Secret.
        pub name: String = "name",
        /// The key.
        pub key: String = "key" => required,
        /// Whether it may be missing.
        pub optional: Option<bool> = "optional",
    }
}

record! {
    /// Every key of a ConfigMap or Secret.
    pub struct EnvFromSource {
        /// Put before each name.
        pub prefix: String = "prefix",
        /// A ConfigMap.
        pub config_map_ref: Option<NamedSource> = "configMapRef",
        /// A Secret.
        pub secret_ref: Option<NamedSource> = "secretRef",
    }
}

record! {
    /// A ConfigMap or Secret by name.
    pub struct NamedSource {
        /// The name.
        pub name: String = "name",
        /// Whether it may be missing.
        pub optional: Option<bool> = "optional",
    }
}

record! {
    /// User, group and rights of a container.
    pub struct SecurityContext {
        /// User id.
        pub run_as_user: Option<i64> = "runAsUser",
        /// Group id.
        pub run_as_group: Option<i64> = "runAsGroup",
        /// Refuses to run as root.
        pub run_as_non_root: Option<bool> = "runAsNonRoot",
        /// Whether the file system is read-only.
        pub read_only_root_filesystem: Option<bool> = "readOnlyRootFilesystem"
            => no_effect("containers see the host's files with their user's rights"),
        /// Whether it may gain rights.
        pub allow_privilege_escalation: Option<bool> = "allowPrivilegeEscalation"
            => no_effect("containers run without additional rights on one machine"),
        /// Whether it has every right.
        pub privileged: Option<bool> = "privileged"
            => no_effect("containers run without additional rights on one machine"),
        /// Single rights.
        pub capabilities: Option<Value> = "capabilities"
            => no_effect("containers run without additional rights on one machine"),
        /// System call filter.
        pub seccomp_profile: Option<Value> = "seccompProfile" => no_effect("no system call filter is loaded"),
        /// SELinux labels.
        pub se_linux_options: Option<Value> = "seLinuxOptions" => no_effect("no security module is set up"),
        /// AppArmor profile.
        pub app_armor_profile: Option<Value> = "appArmorProfile" => no_effect("no security module is set up"),
        /// How /proc looks.
        pub proc_mount: String = "procMount" => no_effect("/proc is the pod's"),
        /// Windows.
        pub windows_options: Option<Value> = "windowsOptions" => no_effect("this is not Windows"),
    }
}
