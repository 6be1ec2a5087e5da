//! What the control plane says is to be trusted: in force at once, acknowledged when our own certificate leads to a root that signs.

use std::rc::Rc;

use rustls_pki_types::CertificateDer;
use tulle_identity::secrets::OWN_CERTIFICATE;
use tulle_identity::trust::Told;
use tulle_identity::{Certificate, Trust, Watched};
use tulle_proto::Message as _;
use tulle_proto::trust::{TrustBundle, TrustDomain};
use tulle_xds::ResourceError;
use tulle_xds::client::{Client, Update};

use super::main_thread::Main;

/// Puts a bundle in force, and answers when that is done.
pub(super) fn update(main: &Main, client: &Rc<Client>, update: Update) {
    let Update { type_url: _, changed, removed: _, ticket } = update;
    // Without an identity of the mesh there is nothing to be put in force.
    let Some(trust) = main.trust.borrow().clone() else { return client.accept(ticket) };
    let mut errors = Vec::new();
    for raw in &changed {
        let said = TrustBundle::from_wire(&raw.payload).map_err(|e| format!("does not decode: {e}"));
        if let Err(problem) = said.and_then(|said| trust.say(told(said)).map_err(|e| e.to_string())) {
            errors.push(ResourceError::new(&*raw.name, problem));
        }
    }
    let name = changed.first().map(|raw| raw.name.to_string()).unwrap_or_default();
    drop(changed);
    let own = main.secrets.certificate(OWN_CERTIFICATE);
    if !errors.is_empty() {
        for error in &errors {
            tracing::warn!(
                problem = error.message,
                "what is to be trusted was refused; what was trusted stays"
            );
        }
        return client.reject(ticket, errors);
    }
    // What other processes were given counts as well; nothing may have been.
    let given = main.given.borrow().clone().filter(|cell| cell.get().is_some());
    let all: Vec<Watched<Certificate>> = std::iter::once(own).chain(given).collect();
    if all.iter().all(|cell| cell.get().is_some_and(|certificate| trust.is_current(&certificate))) {
        return client.accept(ticket);
    }
    let client = Rc::downgrade(client);
    tokio::task::spawn_local(async move {
        let mut current = true;
        for cell in &all {
            current &= renewed(cell, &trust).await;
        }
        let Some(client) = client.upgrade() else { return };
        if current {
            client.accept(ticket);
        } else {
            // The control plane has turned back meanwhile: what it says next is another thing.
            let problem = "the CA certifies with another root than the one that is said to sign";
            client.reject(ticket, vec![ResourceError::new(name, problem)]);
        }
    });
}

/// Waits for the next certificate; whether it leads to a root that signs.
async fn renewed(own: &Watched<Certificate>, trust: &Trust) -> bool {
    let mut seen = own.version();
    loop {
        if own.get().is_some_and(|certificate| trust.is_current(&certificate)) {
            return true;
        }
        let first = own.get().is_none();
        seen = own.changed_since(seen).await;
        if !first {
            return own.get().is_some_and(|certificate| trust.is_current(&certificate));
        }
    }
}

fn told(said: TrustBundle) -> Told {
    let TrustBundle { domains, signing_roots } = said;
    let der = |roots: Vec<Vec<u8>>| roots.into_iter().map(CertificateDer::from).collect::<Vec<_>>();
    let domain = |TrustDomain { names, roots }| (names, der(roots));
    Told { domains: domains.into_iter().map(domain).collect(), signing_roots: der(signing_roots) }
}
