//! `WasmPlugin` and `TrafficExtension` (`extensions.istio.io`): filters that users bring.

use serde_json::Value;

use super::common::{PolicyTargetReference, WorkloadSelector};
use crate::schema::{enumeration, oneof, record};

record! {
    /// A WebAssembly filter for proxies.
    pub struct WasmPlugin {
        /// Workloads; the whole namespace by default, the whole mesh in the root namespace.
        pub selector: Option<WorkloadSelector> = "selector",
        /// A Gateway or waypoint that this is for.
        pub target_ref: Option<PolicyTargetReference> = "targetRef",
        /// Gateways, waypoints or services that this is for; excludes `selector`.
        pub target_refs: Vec<PolicyTargetReference> = "targetRefs",
        /// Where the module is: `oci://` (default), `http://`, `https://` or `file://`.
        pub url: String = "url" => required,
        /// SHA-256 of the module, 64 hexadecimal digits.
        pub sha256: String = "sha256",
        /// When the module is fetched anew.
        pub image_pull_policy: Option<WasmPullPolicy> = "imagePullPolicy",
        /// Secret with credentials for the registry.
        pub image_pull_secret: String = "imagePullSecret",
        /// Public key for the module's signature.
        pub verification_key: String = "verificationKey" => no_effect("Istio has never built it"),
        /// Configuration of the plugin.
        pub plugin_config: Option<Value> = "pluginConfig",
        /// Name of the plugin.
        pub plugin_name: String = "pluginName",
        /// Where in the filter chain.
        pub phase: Option<PluginPhase> = "phase",
        /// Order within the phase, the highest first; 0 by default.
        pub priority: Option<i32> = "priority",
        /// What becomes of traffic when the plugin fails.
        pub fail_strategy: Option<FailStrategy> = "failStrategy",
        /// Settings of the virtual machine.
        pub vm_config: Option<WasmVmConfig> = "vmConfig",
        /// Which traffic; all by default.
        pub matches: Vec<TrafficSelector> = "match",
        /// HTTP (default) or network filter.
        pub plugin_type: Option<PluginType> = "type",
    }
}

record! {
    /// A filter for proxies: WebAssembly or Lua.
    pub struct TrafficExtension {
        /// Workloads; the whole namespace by default, the whole mesh in the root namespace.
        pub selector: Option<WorkloadSelector> = "selector",
        /// Gateways, waypoints or services that this is for; excludes `selector`.
        pub target_refs: Vec<PolicyTargetReference> = "targetRefs",
        /// Where in the filter chain.
        pub phase: Option<ExtensionPhase> = "phase",
        /// Order within the phase, the highest first; 0 by default.
        pub priority: Option<i32> = "priority",
        /// Which traffic; all by default.
        pub matches: Vec<TrafficSelector> = "match",
    }
    oneof {
        /// The filter.
        pub filter_config: ExtensionFilter,
    }
}

oneof! {
    /// The filter of a traffic extension.
    pub enum ExtensionFilter {
        /// A WebAssembly module.
        Wasm(WasmConfig) = "wasm",
        /// A Lua script.
        Lua(LuaConfig) = "lua",
    }
}

record! {
    /// A WebAssembly filter.
    pub struct WasmConfig {
        /// Where the module is: `oci://` (default), `http://`, `https://` or `file://`.
        pub url: String = "url" => required,
        /// SHA-256 of the module, 64 hexadecimal digits.
        pub sha256: String = "sha256",
        /// When the module is fetched anew.
        pub image_pull_policy: Option<WasmPullPolicy> = "imagePullPolicy",
        /// Secret with credentials for the registry.
        pub image_pull_secret: String = "imagePullSecret",
        /// Public key for the module's signature.
        pub verification_key: String = "verificationKey" => no_effect("Istio has never built it"),
        /// Configuration of the plugin.
        pub plugin_config: Option<Value> = "pluginConfig",
        /// Name of the plugin.
        pub plugin_name: String = "pluginName",
        /// What becomes of traffic when the plugin fails.
        pub fail_strategy: Option<FailStrategy> = "failStrategy",
        /// Settings of the virtual machine.
        pub vm_config: Option<WasmVmConfig> = "vmConfig",
        /// HTTP (default) or network filter.
        pub plugin_type: Option<PluginType> = "type",
    }
}

record! {
    /// A Lua filter.
    pub struct LuaConfig {
        /// The script, at most 65536 bytes.
        pub inline_code: String = "inlineCode" => required,
    }
}

record! {
    /// Settings of a WebAssembly virtual machine.
    pub struct WasmVmConfig {
        /// Environment of the module.
        pub env: Vec<WasmEnvVar> = "env",
    }
}

record! {
    /// A variable of a module's environment.
    pub struct WasmEnvVar {
        /// Name.
        pub name: String = "name" => required,
        /// Where the value comes from; INLINE by default.
        pub value_from: Option<WasmEnvSource> = "valueFrom",
        /// The value; for INLINE.
        pub value: String = "value",
    }
}

record! {
    /// Which traffic a filter sees; all that is given must hold.
    pub struct TrafficSelector {
        /// At which end; both by default.
        pub mode: Option<TrafficMode> = "mode",
        /// At which ports; all by default.
        pub ports: Vec<TrafficPort> = "ports",
    }
}

record! {
    /// A port by number.
    pub struct TrafficPort {
        /// Port number, 1 to 65535.
        pub number: u32 = "number",
    }
}

enumeration! {
    /// At which end of a request a filter runs.
    pub enum TrafficMode {
        /// As the default.
        Undefined = "UNDEFINED",
        /// At the client.
        Client = "CLIENT",
        /// At the server.
        Server = "SERVER",
        /// At both.
        ClientAndServer = "CLIENT_AND_SERVER",
    }
}

enumeration! {
    /// When a module is fetched anew.
    pub enum WasmPullPolicy {
        /// Always for the tag `latest`, else when it is not there.
        Unspecified = "UNSPECIFIED_POLICY",
        /// When it is not there.
        IfNotPresent = "IfNotPresent",
        /// Whenever the configuration changes.
        Always = "Always",
    }
}

enumeration! {
    /// Where in the filter chain a plugin stands.
    pub enum PluginPhase {
        /// Before the router, after everything else.
        Unspecified = "UNSPECIFIED_PHASE",
        /// Before authentication.
        Authn = "AUTHN",
        /// Before authorization, after authentication.
        Authz = "AUTHZ",
        /// Before statistics, after authorization.
        Stats = "STATS",
    }
}

enumeration! {
    /// Where in the filter chain an extension stands.
    pub enum ExtensionPhase {
        /// Before the router, after everything else.
        Unspecified = "UNSPECIFIED",
        /// Before authentication.
        Authn = "AUTHN",
        /// Before authorization, after authentication.
        Authz = "AUTHZ",
        /// Before statistics, after authorization.
        Stats = "STATS",
    }
}

enumeration! {
    /// What becomes of traffic when a plugin fails.
    pub enum FailStrategy {
        /// It is refused.
        FailClose = "FAIL_CLOSE",
        /// It passes.
        FailOpen = "FAIL_OPEN",
        /// The plugin is loaded anew.
        FailReload = "FAIL_RELOAD",
    }
}

enumeration! {
    /// Which kind of filter a plugin is.
    pub enum PluginType {
        /// As the default.
        Unspecified = "UNSPECIFIED_PLUGIN_TYPE",
        /// An HTTP filter.
        Http = "HTTP",
        /// A network filter.
        Network = "NETWORK",
    }
}

enumeration! {
    /// Where the value of a variable comes from.
    pub enum WasmEnvSource {
        /// Written here.
        Inline = "INLINE",
        /// The proxy's environment.
        Host = "HOST",
    }
}
