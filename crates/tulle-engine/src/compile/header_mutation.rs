//! Header mutations, and what is written into metadata.

use std::sync::Arc;

use tulle_proto::envoy::{core, google, header_mutation as pb, mutation_rules, set_metadata};

use super::context::{At, Context, UNSUPPORTED};
use super::headers::header_add;
use super::matcher;
use super::template::template;
use super::value::{fields, text};
use crate::runtime::header_mutation::{
    HeaderMutation, HeaderMutationFilter, Mutations, QueryMutation, SetMetadata,
};
use crate::runtime::headers::AppendAction;

pub(super) fn header_mutation(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::HeaderMutation,
) -> HeaderMutationFilter {
    let pb::HeaderMutation { mutations, most_specific_header_mutations_wins } = message;
    HeaderMutationFilter {
        own: Arc::new(self::mutations(cx, &at.field("mutations"), mutations.as_ref())),
        most_specific_wins: *most_specific_header_mutations_wins,
    }
}

pub(super) fn per_route(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::HeaderMutationPerRoute,
) -> Mutations {
    let pb::HeaderMutationPerRoute { mutations } = message;
    self::mutations(cx, &at.field("mutations"), mutations.as_ref())
}

fn mutations(cx: &mut Context<'_>, at: &At<'_>, message: Option<&pb::Mutations>) -> Mutations {
    let Some(pb::Mutations {
        request_mutations,
        query_parameter_mutations,
        response_mutations,
        response_trailers_mutations,
        request_trailers_mutations,
    }) = message
    else {
        return Mutations::default();
    };
    refuse!(cx, at,
        response_trailers_mutations: "trailers pass as they are",
        request_trailers_mutations: "trailers pass as they are",
    );
    let query_at = at.field("query_parameter_mutations");
    Mutations {
        request: list(cx, &at.field("request_mutations"), request_mutations),
        query: query_parameter_mutations
            .iter()
            .enumerate()
            .filter_map(|(i, message)| query(cx, &query_at.index(i), message))
            .collect(),
        response: list(cx, &at.field("response_mutations"), response_mutations),
    }
}

fn list(cx: &mut Context<'_>, at: &At<'_>, list: &[mutation_rules::HeaderMutation]) -> Vec<HeaderMutation> {
    list.iter().enumerate().filter_map(|(i, message)| one(cx, &at.index(i), message)).collect()
}

fn one(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &mutation_rules::HeaderMutation,
) -> Option<HeaderMutation> {
    use mutation_rules::header_mutation::{Action, RemoveOnMatch};
    let mutation_rules::HeaderMutation { action } = message;
    match action {
        Some(Action::Remove(name)) => {
            let at = at.field("remove");
            if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
                cx.refuse(&at, format!("{name:?} cannot be removed: no request can do without it"));
                return None;
            }
            matcher::header_name(cx, &at, name).map(HeaderMutation::Remove)
        }
        Some(Action::Append(message)) => {
            header_add(cx, &at.field("append"), message).map(HeaderMutation::Add)
        }
        Some(Action::RemoveOnMatch(RemoveOnMatch { key_matcher })) => {
            let at = at.field("remove_on_match");
            let at = at.field("key_matcher");
            let message = cx.required(&at, key_matcher.as_ref())?;
            matcher::string(cx, &at, message).map(HeaderMutation::RemoveMatching)
        }
        None => {
            cx.refuse(at, "needs append, remove or remove_on_match");
            None
        }
    }
}

fn query(cx: &mut Context<'_>, at: &At<'_>, message: &core::KeyValueMutation) -> Option<QueryMutation> {
    use core::key_value_append::KeyValueAppendAction as Action;
    let core::KeyValueMutation { append, remove } = message;
    let append = match (append, remove.as_str()) {
        (None, name) if !name.is_empty() => return Some(QueryMutation::Remove(text(name))),
        (Some(append), "") => append,
        _ => {
            cx.refuse(at, "needs either append or remove");
            return None;
        }
    };
    let at = at.field("append");
    let core::KeyValueAppend { record, entry, action } = append;
    refuse!(cx, at, entry: "is not supported: use record");
    let record_at = at.field("record");
    let core::KeyValuePair { key, value } = cx.required(&record_at, record.as_ref())?;
    if key.is_empty() {
        cx.refuse(&record_at.field("key"), "must not be empty");
    }
    let value_at = record_at.field("value");
    let Some(google::Value { kind: Some(google::value::Kind::StringValue(value)) }) = value else {
        cx.refuse(&value_at, "must be a text");
        return None;
    };
    let value = template(cx, &value_at, value)?;
    let action = match cx.choice(&at.field("action"), *action)? {
        Action::AppendIfExistsOrAdd => AppendAction::Append,
        Action::AddIfAbsent => AppendAction::AddIfAbsent,
        Action::OverwriteIfExistsOrAdd => AppendAction::Overwrite,
        Action::OverwriteIfExists => AppendAction::OverwriteIfExists,
    };
    Some(QueryMutation::Add(text(key), value, action))
}

pub(super) fn set_metadata(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &set_metadata::Config,
) -> Vec<SetMetadata> {
    let set_metadata::Config { metadata_namespace, value, metadata } = message;
    let mut out = Vec::new();
    if let Some(value) = value
        && !metadata_namespace.is_empty()
    {
        let value = fields(cx, &at.field("value"), value);
        out.push(SetMetadata { namespace: text(metadata_namespace), value, allow_overwrite: true });
    }
    let list_at = at.field("metadata");
    for (i, message) in metadata.iter().enumerate() {
        let at = list_at.index(i);
        let set_metadata::Metadata { metadata_namespace, allow_overwrite, value, typed_value } = message;
        if metadata_namespace.is_empty() {
            cx.refuse(&at.field("metadata_namespace"), "must not be empty");
        }
        refuse!(cx, at, typed_value: UNSUPPORTED);
        let Some(value) = value else { continue };
        out.push(SetMetadata {
            namespace: text(metadata_namespace),
            value: fields(cx, &at.field("value"), value),
            allow_overwrite: *allow_overwrite,
        });
    }
    out
}
