//! Istio's messages, and our own, as descriptors; the Rust side is `tulle_proto::istio` and `tulle_proto::trust`.

use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, MessageOptions, OneofDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

const DURATION: &str = ".google.protobuf.Duration";

/// One file for each package.
pub(crate) fn files() -> Vec<FileDescriptorProto> {
    vec![nds(), ca(), stats(), alpn(), metadata_exchange(), peer_metadata(), trust()]
}

fn file(
    package: &str,
    messages: Vec<DescriptorProto>,
    enums: Vec<EnumDescriptorProto>,
) -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some(format!("{}.proto", package.replace('.', "/"))),
        package: Some(package.to_owned()),
        message_type: messages,
        enum_type: enums,
        syntax: Some("proto3".to_owned()),
        ..Default::default()
    }
}

fn message(name: &str, field: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto { name: Some(name.to_owned()), field, ..Default::default() }
}

fn field(number: i32, name: &str, kind: Type) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
        ..Default::default()
    }
}

fn typed(number: i32, name: &str, kind: Type, type_name: &str) -> FieldDescriptorProto {
    FieldDescriptorProto { type_name: Some(type_name.to_owned()), ..field(number, name, kind) }
}

fn repeated(field: FieldDescriptorProto) -> FieldDescriptorProto {
    FieldDescriptorProto { label: Some(Label::Repeated.into()), ..field }
}

fn enumeration(name: &str, values: &[&str]) -> EnumDescriptorProto {
    let value = |(number, name): (i32, &&str)| EnumValueDescriptorProto {
        name: Some((*name).to_owned()),
        number: Some(number),
        options: None,
    };
    EnumDescriptorProto {
        name: Some(name.to_owned()),
        value: (0..).zip(values).map(value).collect(),
        ..Default::default()
    }
}

fn map_entry(name: &str, value: FieldDescriptorProto) -> DescriptorProto {
    DescriptorProto {
        options: Some(MessageOptions { map_entry: Some(true), ..Default::default() }),
        ..message(name, vec![field(1, "key", Type::String), value])
    }
}

fn nds() -> FileDescriptorProto {
    let info = message(
        "NameInfo",
        vec![
            repeated(field(1, "ips", Type::String)),
            field(2, "registry", Type::String),
            field(3, "shortname", Type::String),
            field(4, "namespace", Type::String),
            repeated(field(5, "alt_hosts", Type::String)),
        ],
    );
    let (table, name_info) =
        (".istio.networking.nds.v1.NameTable.TableEntry", ".istio.networking.nds.v1.NameTable.NameInfo");
    let mut name_table = message(
        "NameTable",
        vec![
            repeated(typed(1, "table", Type::Message, table)),
            typed(2, "name_info", Type::Message, name_info),
        ],
    );
    let entry = map_entry("TableEntry", typed(2, "value", Type::Message, name_info));
    name_table.nested_type = vec![info, entry];
    file("istio.networking.nds.v1", vec![name_table], vec![])
}

fn ca() -> FileDescriptorProto {
    let request = message(
        "IstioCertificateRequest",
        vec![
            field(1, "csr", Type::String),
            field(3, "validity_duration", Type::Int64),
            typed(4, "metadata", Type::Message, ".google.protobuf.Struct"),
        ],
    );
    let response = message("IstioCertificateResponse", vec![repeated(field(1, "cert_chain", Type::String))]);
    file("istio.v1.auth", vec![request, response], vec![])
}

fn stats() -> FileDescriptorProto {
    let mut metric = message(
        "MetricConfig",
        vec![
            repeated(typed(1, "dimensions", Type::Message, ".stats.MetricConfig.DimensionsEntry")),
            field(2, "name", Type::String),
            repeated(field(3, "tags_to_remove", Type::String)),
            field(4, "match", Type::String),
            field(5, "drop", Type::Bool),
        ],
    );
    metric.nested_type = vec![map_entry("DimensionsEntry", field(2, "value", Type::String))];
    let definition = message(
        "MetricDefinition",
        vec![
            field(1, "name", Type::String),
            field(2, "value", Type::String),
            typed(3, "type", Type::Enum, ".stats.MetricType"),
        ],
    );
    let config = message(
        "PluginConfig",
        vec![
            field(6, "disable_host_header_fallback", Type::Bool),
            typed(7, "tcp_reporting_duration", Type::Message, DURATION),
            repeated(typed(8, "metrics", Type::Message, ".stats.MetricConfig")),
            repeated(typed(9, "definitions", Type::Message, ".stats.MetricDefinition")),
            typed(10, "reporter", Type::Enum, ".stats.Reporter"),
            typed(11, "rescoping_duration", Type::Message, DURATION),
            typed(12, "scope_grace_period_duration", Type::Message, DURATION),
        ],
    );
    let enums = vec![
        enumeration("MetricType", &["COUNTER", "GAUGE", "HISTOGRAM"]),
        enumeration("Reporter", &["UNSPECIFIED", "SERVER_GATEWAY"]),
    ];
    file("stats", vec![config, metric, definition], enums)
}

fn alpn() -> FileDescriptorProto {
    let package = "istio.envoy.config.filter.http.alpn.v2alpha1";
    let inner = format!(".{package}.FilterConfig.AlpnOverride");
    let protocol = format!(".{package}.FilterConfig.Protocol");
    let mut config =
        message("FilterConfig", vec![repeated(typed(1, "alpn_override", Type::Message, &inner))]);
    config.nested_type = vec![message(
        "AlpnOverride",
        vec![
            typed(1, "upstream_protocol", Type::Enum, &protocol),
            repeated(field(2, "alpn_override", Type::String)),
        ],
    )];
    config.enum_type = vec![enumeration("Protocol", &["HTTP10", "HTTP11", "HTTP2"])];
    file(package, vec![config], vec![])
}

fn metadata_exchange() -> FileDescriptorProto {
    let message = message(
        "MetadataExchange",
        vec![
            field(1, "protocol", Type::String),
            field(2, "enable_discovery", Type::Bool),
            repeated(field(3, "additional_labels", Type::String)),
        ],
    );
    file("envoy.tcp.metadataexchange.config", vec![message], vec![])
}

fn peer_metadata() -> FileDescriptorProto {
    let package = "io.istio.http.peer_metadata";
    let inner = |name: &str| format!(".{package}.Config.{name}");
    let choice = |number, name: &str, of: &str| FieldDescriptorProto {
        oneof_index: Some(0),
        ..typed(number, name, Type::Message, &inner(of))
    };
    let method = |name: &str, fields| DescriptorProto {
        oneof_decl: vec![OneofDescriptorProto { name: Some("method_specifier".into()), options: None }],
        ..message(name, fields)
    };
    let mut config = message(
        "Config",
        vec![
            repeated(typed(1, "downstream_discovery", Type::Message, &inner("DiscoveryMethod"))),
            repeated(typed(2, "upstream_discovery", Type::Message, &inner("DiscoveryMethod"))),
            repeated(typed(3, "downstream_propagation", Type::Message, &inner("PropagationMethod"))),
            repeated(typed(4, "upstream_propagation", Type::Message, &inner("PropagationMethod"))),
            field(5, "shared_with_upstream", Type::Bool),
            repeated(field(6, "additional_labels", Type::String)),
        ],
    );
    config.nested_type = vec![
        message("Baggage", vec![]),
        message("WorkloadDiscovery", vec![]),
        message("IstioHeaders", vec![field(1, "skip_external_clusters", Type::Bool)]),
        method(
            "DiscoveryMethod",
            vec![
                choice(1, "baggage", "Baggage"),
                choice(2, "workload_discovery", "WorkloadDiscovery"),
                choice(3, "istio_headers", "IstioHeaders"),
            ],
        ),
        method(
            "PropagationMethod",
            vec![choice(1, "istio_headers", "IstioHeaders"), choice(2, "baggage", "Baggage")],
        ),
    ];
    file(package, vec![config], vec![])
}

fn trust() -> FileDescriptorProto {
    let package = "tulle.identity.v1";
    let bundle = message(
        "TrustBundle",
        vec![
            repeated(typed(1, "domains", Type::Message, &format!(".{package}.TrustDomain"))),
            repeated(field(2, "signing_roots", Type::Bytes)),
        ],
    );
    let domain = message(
        "TrustDomain",
        vec![repeated(field(1, "names", Type::String)), repeated(field(2, "roots", Type::Bytes))],
    );
    file(package, vec![bundle, domain], vec![])
}
