//! `envoy.filters.http.header_mutation` and `envoy.filters.http.set_metadata`.

use std::sync::Arc;

use tulle_engine::{
    decide::header_mutation,
    runtime::{
        filter::FilterOverride,
        header_mutation::{HeaderMutationFilter, Mutations, SetMetadata},
    },
};

use crate::http::{context, exchange::Exchange};

/// Changes the request.
pub(super) fn request(x: &mut Exchange<'_>, filter: &HeaderMutationFilter, change: Option<&FilterOverride>) {
    let mut request = std::mem::take(&mut x.s.request);
    let mut text = std::mem::take(&mut x.s.text);
    let format = context::of(x, x.found.map_or("", |found| &found.route.name));
    in_order(filter, change, |mutations| {
        header_mutation::apply_to_request(mutations, &mut request, &format, &mut text);
    });
    x.s.request = request;
    x.s.text = text;
}

/// Changes the response.
pub(super) fn response(x: &mut Exchange<'_>, filter: &HeaderMutationFilter, change: Option<&FilterOverride>) {
    let mut response = std::mem::take(&mut x.s.response);
    let mut text = std::mem::take(&mut x.s.text);
    let format = context::of(x, x.found.map_or("", |found| &found.route.name));
    in_order(filter, change, |mutations| {
        header_mutation::apply_to_response(mutations, &mut response, &x.s.request, &format, &mut text);
    });
    x.s.response = response;
    x.s.text = text;
}

/// The filter's own mutations, then those of the levels of the route.
fn in_order(
    filter: &HeaderMutationFilter,
    change: Option<&FilterOverride>,
    mut apply: impl FnMut(&Arc<Mutations>),
) {
    apply(&filter.own);
    let Some(FilterOverride::HeaderMutation(levels)) = change else { return };
    if filter.most_specific_wins {
        levels.iter().for_each(apply);
    } else {
        levels.iter().rev().for_each(apply);
    }
}

/// Writes into the request's metadata.
pub(super) fn set_metadata(x: &mut Exchange<'_>, values: &[SetMetadata]) {
    header_mutation::set_metadata(values, x.metadata.get_or_insert_default());
}
