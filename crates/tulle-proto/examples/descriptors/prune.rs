//! What of the whole descriptor set is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use prost::Message as _;
use prost_reflect::prost_types::{
    DescriptorProto, EnumOptions, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::Type,
};

/// Messages that documents and dumps begin with, or that an `Any` in them may hold: every type URL of the project, and
/// what else people write into bootstraps.
fn roots() -> Vec<String> {
    let ours = tulle_proto::type_url::ALL.iter().map(|url| tulle_proto::any::full_name(url).to_owned());
    let others = [
        "envoy.admin.v3.ConfigDump",
        "envoy.admin.v3.Clusters",
        "envoy.admin.v3.Listeners",
        "envoy.admin.v3.ServerInfo",
        "envoy.config.trace.v3.OpenTelemetryConfig",
        "envoy.config.trace.v3.ZipkinConfig",
        "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "envoy.extensions.filters.http.lua.v3.Lua",
        "envoy.extensions.filters.network.direct_response.v3.Config",
        "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig",
        "envoy.extensions.load_balancing_policies.maglev.v3.Maglev",
        "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash",
        "envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality",
        "envoy.extensions.formatter.metadata.v3.Metadata",
        "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery",
        "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig",
        "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
        "envoy.extensions.regex_engines.v3.GoogleRE2",
        "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
        "envoy.extensions.upstreams.http.generic.v3.GenericConnectionPoolProto",
        "envoy.service.discovery.v3.DeltaDiscoveryRequest",
        "envoy.service.discovery.v3.DeltaDiscoveryResponse",
        "envoy.service.discovery.v3.DiscoveryRequest",
        "envoy.service.discovery.v3.DiscoveryResponse",
        "google.protobuf.Any",
        "google.protobuf.BoolValue",
        "google.protobuf.BytesValue",
        "google.protobuf.DoubleValue",
        "google.protobuf.Duration",
        "google.protobuf.Empty",
        "google.protobuf.FloatValue",
        "google.protobuf.Int32Value",
        "google.protobuf.Int64Value",
        "google.protobuf.ListValue",
        "google.protobuf.StringValue",
        "google.protobuf.Struct",
        "google.protobuf.Timestamp",
        "google.protobuf.UInt32Value",
        "google.protobuf.UInt64Value",
        "google.protobuf.Value",
        "google.rpc.Status",
    ];
    ours.chain(others.map(str::to_owned)).collect()
}

/// The descriptor set of the project, from that of `envoy-types`.
pub(crate) fn build(types_bin: &[u8]) -> Result<FileDescriptorSet, String> {
    let mut set = FileDescriptorSet::decode(types_bin).map_err(|error| error.to_string())?;
    set.file.extend(crate::istio::files());
    let index = Index::new(&set);
    let mut wanted = BTreeSet::new();
    let mut todo: Vec<String> = Vec::new();
    for root in roots() {
        let name = format!(".{root}");
        if !index.owner.contains_key(&name) {
            return Err(format!("{root} is not in the descriptor set"));
        }
        todo.push(name);
    }
    while let Some(name) = todo.pop() {
        if wanted.insert(name.clone()) {
            todo.extend(index.uses.get(&name).into_iter().flatten().cloned());
        }
    }
    let mut files = Vec::new();
    for file in &set.file {
        let pruned = prune_file(file, &wanted, &index);
        if !pruned.message_type.is_empty() || !pruned.enum_type.is_empty() {
            files.push(pruned);
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(FileDescriptorSet { file: files })
}

/// Which names there are, in which file, and which others each of them uses.
struct Index {
    owner: BTreeMap<String, String>,
    uses: BTreeMap<String, Vec<String>>,
}

impl Index {
    fn new(set: &FileDescriptorSet) -> Self {
        let mut index = Self { owner: BTreeMap::new(), uses: BTreeMap::new() };
        for file in &set.file {
            let scope =
                if file.package().is_empty() { String::new() } else { format!(".{}", file.package()) };
            for message in &file.message_type {
                index.message(file.name(), &scope, message);
            }
            for one in &file.enum_type {
                index.owner.insert(format!("{scope}.{}", one.name()), file.name().to_owned());
            }
        }
        index
    }

    fn message(&mut self, file: &str, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        self.owner.insert(name.clone(), file.to_owned());
        let mut uses: Vec<String> = message.field.iter().filter_map(used).collect();
        // A nested type needs the one around it.
        if self.owner.contains_key(scope) {
            uses.push(scope.to_owned());
        }
        self.uses.insert(name.clone(), uses);
        for one in &message.enum_type {
            let nested = format!("{name}.{}", one.name());
            self.owner.insert(nested.clone(), file.to_owned());
            self.uses.insert(nested, vec![name.clone()]);
        }
        for nested in &message.nested_type {
            self.message(file, &name, nested);
        }
    }
}

fn used(field: &FieldDescriptorProto) -> Option<String> {
    matches!(field.r#type(), Type::Message | Type::Enum | Type::Group).then(|| field.type_name().to_owned())
}

/// The one option of an enum without which it could not be read: that several names may have one number.
fn aliases(options: Option<&EnumOptions>) -> Option<EnumOptions> {
    let allow_alias = options?.allow_alias;
    allow_alias.map(|_| EnumOptions { allow_alias, ..EnumOptions::default() })
}

/// The file with the wanted messages alone, without comments, options, services and imports that nothing uses.
fn prune_file(file: &FileDescriptorProto, wanted: &BTreeSet<String>, index: &Index) -> FileDescriptorProto {
    let scope = if file.package().is_empty() { String::new() } else { format!(".{}", file.package()) };
    let mut imports = BTreeSet::new();
    let message_type: Vec<DescriptorProto> = file
        .message_type
        .iter()
        .filter_map(|message| prune_message(&scope, message, wanted, index, &mut imports))
        .collect();
    let enum_type = file
        .enum_type
        .iter()
        .filter(|one| wanted.contains(&format!("{scope}.{}", one.name())))
        .cloned()
        .map(|mut one| {
            one.options = aliases(one.options.as_ref());
            one.value.iter_mut().for_each(|value| value.options = None);
            one
        })
        .collect();
    imports.remove(file.name());
    FileDescriptorProto {
        name: file.name.clone(),
        package: file.package.clone(),
        dependency: imports.into_iter().collect(),
        message_type,
        enum_type,
        syntax: file.syntax.clone(),
        ..Default::default()
    }
}

fn prune_message(
    scope: &str,
    message: &DescriptorProto,
    wanted: &BTreeSet<String>,
    index: &Index,
    imports: &mut BTreeSet<String>,
) -> Option<DescriptorProto> {
    let name = format!("{scope}.{}", message.name());
    if !wanted.contains(&name) {
        return None;
    }
    let mut out = message.clone();
    out.nested_type = message
        .nested_type
        .iter()
        .filter_map(|nested| prune_message(&name, nested, wanted, index, imports))
        .collect();
    out.enum_type.retain(|one| wanted.contains(&format!("{name}.{}", one.name())));
    for one in &mut out.enum_type {
        one.options = aliases(one.options.as_ref());
        one.value.iter_mut().for_each(|value| value.options = None);
    }
    // Whether a message is the entry of a map is the only option that matters.
    if let Some(options) = &out.options {
        let map_entry = options.map_entry;
        out.options =
            map_entry.map(|_| prost_reflect::prost_types::MessageOptions { map_entry, ..Default::default() });
    }
    for field in &mut out.field {
        field.options = None;
        imports.extend(used(field).and_then(|name| index.owner.get(&name).cloned()));
    }
    for oneof in &mut out.oneof_decl {
        oneof.options = None;
    }
    out.extension.clear();
    Some(out)
}

/// Where the locked version of `envoy-types` was unpacked, as cargo tells it.
pub(crate) fn envoy_types_dir() -> Result<PathBuf, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // Packages of other platforms may not be there.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = std::process::Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| error.to_string())?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let manifest = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "envoy-types")
        .and_then(|package| package["manifest_path"].as_str())
        .ok_or("cargo metadata names no envoy-types")?;
    Ok(PathBuf::from(manifest).with_file_name(""))
}
