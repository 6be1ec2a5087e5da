//! The resource API of a mesh: what is applied over it is there, and is there again when the mesh is.

use super::machine::{Place, User, alone, text};

const ROUTE: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: cart, namespace: shop}\nspec:\n  \
    hosts: [cart]\n  http: [{timeout: 5s, route: [{destination: {host: cart}}]}]\n";
const FOLDER: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-file, namespace: shop}\ndata: {a: b}\n";

#[test]
fn what_was_applied_outlives_the_mesh() {
    let _alone = alone();
    let place = Place::new(User::Same);
    let folder = place.write("folder.yaml", FOLDER);
    let route = place.write("route.yaml", ROUTE);
    let get = |kind: &str| {
        let shown = place.run("get", &[kind, "-n", "shop", "-o", "name"]);
        (shown.status.code(), text(&shown.stdout))
    };
    let ready = |status: &serde_json::Value| status["ready"] == true;
    let Some(mesh) = place.up(&[folder.to_str().unwrap()], ready) else { return };
    let applied = place.run("apply", &["-f", route.to_str().unwrap()]);
    assert!(applied.status.success(), "{}", text(&applied.stderr));
    assert!(text(&place.run("kubeconfig", &[]).stdout).contains("certificate-authority-data"));
    assert!(get("configmaps").1.contains("configmap/from-file"));
    // Killed: what was acknowledged is kept all the same.
    mesh.kill();
    let Some(mesh) = place.up(&[folder.to_str().unwrap()], ready) else { return };
    assert_eq!(get("vs"), (Some(0), "virtualservice/cart\n".into()));
    let deleted = place.run("delete", &["vs/cart", "-n", "shop"]);
    assert!(deleted.status.success(), "{}", text(&deleted.stderr));
    assert_eq!(get("vs").1, "");
    mesh.interrupt();
    assert_eq!(get("vs").0, Some(3));
}
