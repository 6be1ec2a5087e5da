//! The exchange of peer metadata in Istio's headers.

use tulle_http::{HeaderList, Known};

use super::exchange::Exchange;
use crate::telemetry::peer;

/// Takes what the client told about itself out of the request.
pub(crate) fn read_request(x: &mut Exchange<'_>) {
    if !x.manager.peer_metadata.read_from_request {
        return;
    }
    let headers = &mut x.s.request.headers;
    let Some(card) = headers.get(Known::XEnvoyPeerMetadata) else { return };
    // A connection's client seldom changes: what was read last is compared before it is read again.
    let mut last = x.conn.last_card.borrow_mut();
    if last.0 != card {
        let labels = peer::client_labels(x.conn.identity(), Some(card));
        last.0 = card.to_vec();
        last.1 = x.conn.worker.telemetry.store.borrow_mut().peer(&labels);
    }
    x.record.peer = Some(last.1);
    drop(last);
    remove(headers);
}

/// Takes what the endpoint told about itself out of the response, and adds ours where that is asked for.
pub(crate) fn read_response(x: &mut Exchange<'_>) {
    let how = x.manager.peer_metadata;
    if how.read_from_response {
        remove(&mut x.s.response.headers);
    }
    if how.write_to_response && x.record.peer.is_some() {
        x.conn.worker.telemetry.card.write(&mut x.s.response.headers);
    }
}

fn remove(headers: &mut HeaderList) {
    headers.remove(Known::XEnvoyPeerMetadata);
    headers.remove(Known::XEnvoyPeerMetadataId);
}
