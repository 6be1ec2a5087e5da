//! What variables in header values may say.

use tulle_engine::decide::format::FormatContext;

use super::exchange::Exchange;

/// The context of a request under way on the route of that name.
pub(crate) fn of<'c>(x: &'c Exchange<'_>, route_name: &'c str) -> FormatContext<'c> {
    FormatContext {
        connection: &x.view,
        route_name,
        cluster: x.record.cluster.as_ref().map_or("", |c| &c.config.name),
        upstream: x.record.host.as_ref().map(|h| h.address),
        response_flags: x.record.flags.iter().next().map_or("", |flag| flag.short()),
        response_details: &x.record.details,
        hostname: &x.conn.worker.settings.node.pod,
        start: x.record.wall,
        metadata: x.metadata.as_deref(),
    }
}
