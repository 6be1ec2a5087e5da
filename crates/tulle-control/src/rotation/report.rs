//! What is told about the CA: `tulle ca status` reads it.

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tulle_api::Object;
use tulle_api::kubernetes::ConfigMap;
use tulle_base::ResourceRef;
use tulle_ca::{Holding, Phase, fingerprint};
use tulle_identity::CertInfo;
use tulle_store::{Store, StoreError};

use super::gate::State;
use super::{Answer, Rotation, Standings, blockers};

/// Name of the ConfigMap.
pub(crate) const STATUS: &str = "tulle-ca-status";
/// The status, JSON.
const KEY: &str = "status.json";
/// Proxies that are told of, at most; those first that hold a rotation up.
const MAX_PROXIES: usize = 1000;

pub(super) struct Report<'a> {
    pub(super) rotation: &'a Rotation,
    pub(super) standings: &'a Standings,
    pub(super) answer: &'a Answer,
}

impl Report<'_> {
    pub(super) async fn write(&self) -> Result<(), StoreError> {
        let rotation = self.rotation;
        let roots = rotation.authorities.current().roots();
        let spiffe = tulle_identity::spiffe_bundle::write(&roots);
        let data = BTreeMap::from([
            (KEY.to_owned(), self.status().to_string()),
            ("bundle.pem".to_owned(), rotation.authorities.current().roots_pem()),
            ("bundle.json".to_owned(), format!("{spiffe:#}\n")),
        ]);
        let mut object = Object::new(&rotation.namespace, STATUS, ConfigMap { data, ..ConfigMap::default() });
        if let Some(there) = rotation.store.get(&object.resource()).await? {
            if there.spec == object.spec {
                return Ok(());
            }
            object.meta.resource_version = there.meta.resource_version.clone();
        }
        rotation.store.put(object).await.map(drop)
    }

    fn status(&self) -> Value {
        let now = self.rotation.authorities.current();
        let (signing, other) = (&now.signing, now.other.as_ref());
        let mut roots: Vec<Value> = signing.roots().iter().map(|r| root(r, "signing")).collect();
        let role = if now.phase == Phase::Distributing { "coming" } else { "going" };
        roots.extend(other.iter().flat_map(|o| o.roots()).map(|r| root(r, role)));
        let intermediate = (!signing.roots().contains(signing.certificate()))
            .then(|| root(signing.certificate(), "signing"));
        let serving: u64 = signing.not_after().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        json!({
            "answered": self.answer.id,
            "error": self.answer.error,
            "time": time(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()),
            "trustDomain": self.rotation.trust_domain,
            "phase": now.phase.as_str(),
            "aborting": now.aborting,
            "started": (now.started > 0).then(|| time(now.started)),
            "since": (now.since > 0).then(|| time(now.since)),
            "blockedBy": if now.phase == Phase::Steady { Vec::new() } else { blockers(self.standings) },
            "roots": roots,
            "intermediates": intermediate.into_iter().collect::<Vec<_>>(),
            "signsUntil": time(serving),
            "proxies": self.proxies(),
            "proxiesTotal": self.standings.len(),
        })
    }

    fn proxies(&self) -> Vec<Value> {
        let held = self.rotation.issued.held(SystemTime::now());
        let by_name: HashMap<String, &Holding> = held
            .iter()
            .map(|h| (h.pod.as_ref().map_or_else(|| h.id.clone(), |(ns, name)| format!("{ns}/{name}")), h))
            .collect();
        let mut all: Vec<(&String, &State)> = self.standings.iter().collect();
        all.sort_by_key(|(_, state)| !state.blocks());
        let one = |(name, state): (&String, &State)| {
            let holding = by_name.get(name);
            let trust = match state {
                State::InStep => "acknowledged".to_owned(),
                State::Elsewhere => "taken elsewhere".to_owned(),
                State::Behind(reason) => (*reason).to_owned(),
                State::OldCertificate(_) => "its certificate is of another root".to_owned(),
            };
            json!({
                "proxy": name,
                "identity": holding.map(|h| &h.id),
                "serial": holding.map(|h| &h.serial),
                "notAfter": holding.map(|h| time(h.not_after)),
                "root": holding.map(|h| &h.root),
                "trust": trust,
                "inStep": !state.blocks(),
            })
        };
        all.into_iter().take(MAX_PROXIES).map(one).collect()
    }
}

fn root(der: &CertificateDer<'_>, role: &str) -> Value {
    let info = CertInfo::read(der).ok();
    let at = |seconds: i64| time(u64::try_from(seconds).unwrap_or(0));
    json!({
        "fingerprint": fingerprint(der),
        "role": role,
        "subject": info.as_ref().map(|i| &i.subject),
        "serial": info.as_ref().map(|i| &i.serial),
        "notBefore": info.as_ref().map(|i| at(i.not_before)),
        "notAfter": info.as_ref().map(|i| at(i.not_after)),
    })
}

/// Seconds since the epoch as RFC 3339 writes them.
pub(super) fn time(seconds: u64) -> String {
    tulle_telemetry::audit::timestamp(seconds)
}

/// The request that was answered last, in whatever life.
pub(super) async fn last_answered(store: &dyn Store, namespace: &str) -> String {
    let status = ResourceRef::new("", "ConfigMap", namespace, STATUS);
    let found = store.get(&status).await.ok().flatten();
    let text = found.and_then(|o| o.get::<ConfigMap>().and_then(|map| map.data.get(KEY)).cloned());
    let value: Option<Value> = text.and_then(|t| serde_json::from_str(&t).ok());
    value.and_then(|v| v["answered"].as_str().map(str::to_owned)).unwrap_or_default()
}

/// Who wrote an object: the field manager that the API noted last, else the file that it is of.
pub(crate) fn actor(object: &Object) -> String {
    let fields = &object.meta.managed_fields;
    let newest = fields.iter().max_by_key(|f| f["time"].as_str().unwrap_or_default().to_owned());
    match newest.and_then(|f| f["manager"].as_str()) {
        Some(manager) => manager.to_owned(),
        None => object.origin.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}
