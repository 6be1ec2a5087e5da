//! Makes `descriptors/envoy.bin`, the descriptors that JSON is read and written with, from a whole `FileDescriptorSet`.
//!
//! Usage: `cargo run -p tulle-proto --example prune_descriptors -- WHOLE.bin OUT.bin`, where WHOLE.bin is
//! `src/generated/types.bin` of the `envoy-types` version in `Cargo.lock`. Kept are the messages that this project reads or writes
//! with everything that they refer to; comments, services and options are left out.

use std::collections::{BTreeSet, HashMap};

use prost_reflect::prost::Message;
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FieldOptions, FileDescriptorProto,
    FileDescriptorSet, MessageOptions,
};

/// Messages beside those of the type URL table: what files and dumps begin with, and what is often found in an `Any`.
const MORE: &[&str] =
    &["envoy.service.discovery.v3.DiscoveryResponse", "envoy.admin.v3.ConfigDump", "google.protobuf.Struct"];

/// The file and the top-level type that each message and enum belongs to.
type Owners = HashMap<String, (String, String)>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (from, to) = (args.next().ok_or("no input")?, args.next().ok_or("no output")?);
    let set = FileDescriptorSet::decode(std::fs::read(from)?.as_slice())?;
    let files: HashMap<&str, &FileDescriptorProto> = set.file.iter().map(|f| (f.name(), f)).collect();
    let owners = owners(&set);
    let mut wanted: Vec<String> =
        tulle_proto::type_url::ALL.iter().map(|u| tulle_proto::any::full_name(u).to_owned()).collect();
    wanted.extend(MORE.iter().map(|m| (*m).to_owned()));
    let mut kept: BTreeSet<String> = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        // Istio's own messages are written by hand and have no descriptor.
        let Some((file, top)) = owners.get(&name) else { continue };
        if !kept.insert(top.clone()) {
            continue;
        }
        let file = files[file.as_str()];
        let message = file.message_type.iter().find(|m| format!("{}.{}", file.package(), m.name()) == *top);
        message.into_iter().for_each(|m| references(m, &mut wanted));
    }
    let file = set.file.iter().filter_map(|f| prune(f, &kept, &owners)).collect();
    std::fs::write(to, FileDescriptorSet { file }.encode_to_vec())?;
    Ok(())
}

fn owners(set: &FileDescriptorSet) -> Owners {
    fn walk(message: &DescriptorProto, path: &str, top: &(String, String), out: &mut Owners) {
        out.insert(path.to_owned(), top.clone());
        for nested in &message.nested_type {
            walk(nested, &format!("{path}.{}", nested.name()), top, out);
        }
        for nested in &message.enum_type {
            out.insert(format!("{path}.{}", nested.name()), top.clone());
        }
    }
    let mut out = HashMap::new();
    for file in &set.file {
        for message in &file.message_type {
            let path = format!("{}.{}", file.package(), message.name());
            walk(message, &path, &(file.name().to_owned(), path.clone()), &mut out);
        }
        for message in &file.enum_type {
            let path = format!("{}.{}", file.package(), message.name());
            out.insert(path.clone(), (file.name().to_owned(), path));
        }
    }
    out
}

fn references(message: &DescriptorProto, out: &mut Vec<String>) {
    let names = message.field.iter().filter_map(|f| f.type_name.as_deref());
    out.extend(names.map(|n| n.trim_start_matches('.').to_owned()));
    message.nested_type.iter().for_each(|m| references(m, out));
}

fn prune(
    file: &FileDescriptorProto,
    kept: &BTreeSet<String>,
    owners: &Owners,
) -> Option<FileDescriptorProto> {
    let keep = |name: &str| kept.contains(&format!("{}.{name}", file.package()));
    let mut messages: Vec<_> = file.message_type.iter().filter(|m| keep(m.name())).cloned().collect();
    messages.iter_mut().for_each(strip);
    let mut enums: Vec<_> = file.enum_type.iter().filter(|e| keep(e.name())).cloned().collect();
    enums.iter_mut().for_each(strip_enum);
    if messages.is_empty() && enums.is_empty() {
        return None;
    }
    let mut names = Vec::new();
    messages.iter().for_each(|m| references(m, &mut names));
    let needed: BTreeSet<&str> =
        names.iter().filter_map(|n| owners.get(n)).map(|(file, _)| file.as_str()).collect();
    Some(FileDescriptorProto {
        name: file.name.clone(),
        package: file.package.clone(),
        syntax: file.syntax.clone(),
        dependency: needed.into_iter().filter(|d| *d != file.name()).map(str::to_owned).collect(),
        message_type: messages,
        enum_type: enums,
        ..FileDescriptorProto::default()
    })
}

fn strip(message: &mut DescriptorProto) {
    let map_entry = message.options.as_ref().and_then(|o| o.map_entry);
    message.options = map_entry.map(|_| MessageOptions { map_entry, ..MessageOptions::default() });
    message.extension.clear();
    message.field.iter_mut().for_each(strip_field);
    message.oneof_decl.iter_mut().for_each(|o| o.options = None);
    message.enum_type.iter_mut().for_each(strip_enum);
    message.nested_type.iter_mut().for_each(strip);
}

fn strip_enum(kind: &mut EnumDescriptorProto) {
    kind.options = None;
    kind.value.iter_mut().for_each(|v| v.options = None);
}

fn strip_field(field: &mut FieldDescriptorProto) {
    let packed = field.options.as_ref().and_then(|o| o.packed);
    field.options = packed.map(|_| FieldOptions { packed, ..FieldOptions::default() });
}
