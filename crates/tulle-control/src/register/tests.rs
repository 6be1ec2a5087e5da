use std::collections::BTreeMap;

use tulle_api::istio::WorkloadEntry;
use tulle_base::{Labels, Locality};
use tulle_mesh::NsName;
use tulle_store::Memory;
use tulle_translate::{Families, Kind as ProxyKind, Proxy};

use super::*;

const GROUP: &str = "
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: db, namespace: shop, uid: u-1}
spec:
  metadata: {labels: {app: db, tier: gold}, annotations: {team: data}}
  template:
    labels: {app: template, from: template}
    ports: {mysql: 3307}
    network: n1
    locality: eu/a
    weight: 7
    serviceAccount: db
  probe: {periodSeconds: 5, httpGet: {path: /ready, port: 8080}}
";

fn group(yaml: &str) -> Object {
    tulle_api::parse_manifests("group.yaml", yaml.as_bytes()).0.remove(0)
}

fn proxy() -> Proxy {
    let labels: Labels =
        [("tier", "silver"), ("istio-locality", "us.b")].map(|(k, v)| (k.into(), v.into())).into();
    Proxy {
        kind: ProxyKind::Sidecar,
        id: "sidecar~10.9.0.7~vm.shop~shop".into(),
        ip: "10.9.0.7".into(),
        families: Families::V4,
        pod: NsName::new("shop", "vm"),
        labels,
        service_account: "db".into(),
        workload: "vm".into(),
        cluster_id: "Kubernetes".into(),
        network: String::new(),
        locality: Locality::default(),
        metadata: BTreeMap::from([("AUTO_REGISTER_GROUP".to_owned(), "db".to_owned())]),
        node: String::new(),
        stock_envoy: true,
        stands_for: None,
    }
}

fn registered(proxy: &Proxy, yaml: &str) -> Result<Object, Refused> {
    let reference = wanted(proxy).unwrap();
    assert_eq!(reference.to_string(), "WorkloadGroup shop/db");
    of(proxy, true, &reference, Some(&group(yaml)))
}

#[test]
fn an_entry_is_made_of_its_group_and_of_what_the_proxy_says() {
    let object = registered(&proxy(), GROUP).unwrap();
    assert_eq!((object.meta.name.as_str(), object.meta.namespace.as_str()), ("db-10.9.0.7-n1", "shop"));
    let entry: &WorkloadEntry = object.get().unwrap();
    assert_eq!((entry.address.as_str(), entry.network.as_str()), ("10.9.0.7", "n1"));
    assert_eq!((entry.locality.as_str(), entry.weight), ("eu/a", Some(7)));
    assert_eq!((entry.ports["mysql"], entry.service_account.as_str()), (3307, "db"));
    // The proxy's labels win over the group's, these over the template's.
    let labels: Vec<(&str, &str)> = entry.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(labels, [("app", "db"), ("from", "template"), ("tier", "silver")]);
    assert_eq!(object.meta.labels, entry.labels);
    let annotation = |name: &str| object.meta.annotations.get(name).map(String::as_str);
    assert_eq!(annotation("istio.io/autoRegistrationGroup"), Some("db"));
    assert_eq!(annotation("team"), Some("data"));
    assert_eq!(annotation("proxy.istio.io/health-checks-enabled"), Some("true"));
    let owner = &object.meta.owner_references[0];
    assert_eq!((owner.kind.as_str(), owner.uid.as_str()), ("WorkloadGroup", "u-1"));
    assert!(!tulle_mesh::entry::is_healthy(&object), "nothing is sent there before it says that it is well");

    let mut elsewhere = proxy();
    elsewhere.network = "n2".into();
    elsewhere.locality = Locality { region: "us".into(), zone: "b".into(), sub_zone: String::new() };
    elsewhere.ip = "fd00::7".into();
    let object = registered(&elsewhere, GROUP).unwrap();
    let entry: &WorkloadEntry = object.get().unwrap();
    assert_eq!(object.meta.name, "db-fd00--7-n2");
    assert_eq!((entry.network.as_str(), entry.locality.as_str()), ("n2", "us/b"));

    let plain = "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: db, namespace: shop}\n\
                 spec: {template: {serviceAccount: db}}\n";
    let object = registered(&proxy(), plain).unwrap();
    assert_eq!(object.meta.name, "db-10.9.0.7");
    assert!(tulle_mesh::entry::is_healthy(&object), "nobody checks it");
}

#[test]
fn only_the_groups_own_service_account_may_register_and_only_when_it_is_known() {
    let reference = wanted(&proxy()).unwrap();
    let unknown = of(&proxy(), false, &reference, Some(&group(GROUP)));
    assert_eq!(unknown.unwrap_err(), Refused::NoIdentity(reference.clone()));
    assert_eq!(of(&proxy(), true, &reference, None).unwrap_err(), Refused::NoGroup(reference.clone()));
    let mut other = proxy();
    other.service_account = "web".into();
    assert!(matches!(registered(&other, GROUP), Err(Refused::OtherAccount { .. })));
    // A group that names none is for the default one.
    let any = GROUP.replace("    serviceAccount: db\n", "");
    assert!(matches!(registered(&proxy(), &any), Err(Refused::OtherAccount { .. })));
    other.service_account = "default".into();
    assert!(registered(&other, &any).is_ok());
    other.ip = "nowhere".into();
    assert!(matches!(registered(&other, &any), Err(Refused::NoAddress(_))));
    other.kind = ProxyKind::Router;
    assert!(matches!(registered(&other, &any), Err(Refused::Gateway)));
    other.metadata.clear();
    assert_eq!(wanted(&other), None);
}

fn book() -> Book {
    Book { controller: "me".into(), streams: HashMap::new(), entries: HashMap::new() }
}

fn kinds(book: &mut Book, now: Instant) -> Vec<&'static str> {
    let name = |work: &Work| match work {
        Work::Write(_) => "write",
        Work::Health(_) => "health",
        Work::Leave => "leave",
        Work::Remove => "remove",
    };
    book.due(now).iter().map(|(_, work)| name(work)).collect()
}

#[test]
fn an_entry_stays_through_reconnects_and_goes_when_its_workload_stays_away() {
    let (mut book, start) = (book(), Instant::now());
    let object = || Box::new(registered(&proxy(), GROUP).unwrap());
    let stream = StreamId;
    book.hear(Told::Came(stream(1), object()), start);
    book.hear(Told::Health(stream(1), Some("down".into())), start);
    book.hear(Told::Health(stream(1), None), start);
    assert_eq!(kinds(&mut book, start), ["write", "health"], "only the newest health counts");
    // Another stream is there before the first has ended.
    book.hear(Told::Came(stream(2), object()), start);
    book.hear(Told::Left(stream(1)), start);
    assert_eq!(kinds(&mut book, start), ["write"]);
    // It comes back in time.
    book.hear(Told::Left(stream(2)), start);
    assert_eq!(kinds(&mut book, start), ["leave"]);
    book.hear(Told::Came(stream(3), object()), start + GRACE / 2);
    assert_eq!(kinds(&mut book, start + GRACE * 2), ["write"]);
    // It does not.
    book.hear(Told::Left(stream(3)), start + GRACE * 2);
    assert_eq!(kinds(&mut book, start + GRACE * 2), ["leave"]);
    assert_eq!(book.next_due(), Some(start + GRACE * 3));
    assert_eq!(kinds(&mut book, start + GRACE * 3), ["remove"]);
    assert!(book.entries.is_empty() && book.streams.is_empty());
}

#[test]
fn entries_of_an_earlier_life_go_unless_their_workloads_come_back() {
    let (mut book, start) = (book(), Instant::now());
    let mut own = registered(&proxy(), GROUP).unwrap();
    own.meta.annotations.insert(entry::CONTROLLER.into(), "me".into());
    let mut others = own.clone();
    others.meta.name = "other".into();
    others.meta.annotations.insert(entry::CONTROLLER.into(), "somebody".into());
    book.hear(Told::Begin(vec![Arc::new(own.clone()), Arc::new(others)]), start);
    assert_eq!(book.next_due(), Some(start + RETURN));
    let mut back = Book { controller: "me".into(), streams: HashMap::new(), entries: HashMap::new() };
    back.hear(Told::Begin(vec![Arc::new(own.clone())]), start);
    back.hear(Told::Came(StreamId(1), Box::new(own)), start);
    assert_eq!(kinds(&mut back, start + RETURN * 2), ["write"]);
    assert_eq!(kinds(&mut book, start + RETURN), ["remove"]);
}

#[tokio::test]
async fn what_is_written_down_leaves_alone_what_others_wrote() {
    let store = Memory::new();
    let object = registered(&proxy(), GROUP).unwrap();
    let resource = object.resource();
    assert_eq!(write(&store, &object, "me").await.unwrap(), Some(Metric::Registered));
    store
        .put_status(&resource, json!({"conditions": [{"type": "Accepted", "status": "True"}]}))
        .await
        .unwrap();
    health(&store, &resource, &condition(Some("no answer"))).await.unwrap();
    let there = store.get(&resource).await.unwrap().unwrap();
    let conditions = there.status.as_ref().unwrap()["conditions"].as_array().unwrap().clone();
    let told: Vec<_> = conditions.iter().map(|c| (&c["type"], &c["status"])).collect();
    assert_eq!(told, [(&json!("Accepted"), &json!("True")), (&json!("Healthy"), &json!("False"))]);
    assert_eq!(conditions[1]["message"], "no answer");
    assert!(!tulle_mesh::entry::is_healthy(&there));
    // Registered again, it keeps its status until told otherwise.
    assert_eq!(write(&store, &object, "me").await.unwrap(), Some(Metric::RegisteredAgain));
    let there = store.get(&resource).await.unwrap().unwrap();
    assert!(!tulle_mesh::entry::is_healthy(&there));
    health(&store, &resource, &condition(None)).await.unwrap();
    assert!(tulle_mesh::entry::is_healthy(&store.get(&resource).await.unwrap().unwrap()));
    // Another control plane has it by now.
    write(&store, &object, "other").await.unwrap();
    assert_eq!(leave(&store, &resource, "me").await.unwrap(), None);
    assert_eq!(remove(&store, &resource, "me").await.unwrap(), None);
    assert!(store.get(&resource).await.unwrap().is_some());
    assert_eq!(leave(&store, &resource, "other").await.unwrap(), Some(Metric::Unregistered));
    let there = store.get(&resource).await.unwrap().unwrap();
    assert!(there.meta.annotations.contains_key(entry::DISCONNECTED));
    assert_eq!(remove(&store, &resource, "other").await.unwrap(), Some(Metric::RegistrationsRemoved));
    assert!(store.get(&resource).await.unwrap().is_none());
    // What somebody wrote by hand is his.
    let mut own = object.clone();
    own.meta.annotations.clear();
    store.put(own).await.unwrap();
    write(&store, &object, "me").await.unwrap();
    remove(&store, &resource, "me").await.unwrap();
    let there = store.get(&resource).await.unwrap().unwrap();
    assert!(there.meta.annotations.is_empty());
}
