//! Every protocol crosses two sidecars, whether it is named or has to be found out.

use crate::harness::{Mesh, Spec, report};
use crate::manifests::{client, documents, echo, injected_default, service};

fn port(service: &str, number: u16, name: &str) -> String {
    let name = if name.is_empty() { String::new() } else { format!("name: {name}, ") };
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {service}\nspec:\n  selector: {{app: echo}}\n  \
         ports:\n  - {{{name}port: {number}}}\n"
    )
}

#[test]
fn http_upgrades_and_tcp_named_and_sniffed() {
    let greeting = echo("polite", "v1")
        .replace("        env:", "        args: [--greeting, 'hello from the server']\n        env:");
    let polite = service("polite", "tcp").replace("targetPort: 8080", "targetPort: 9000");
    let manifests = [
        (
            "services.yaml",
            documents(&[
                injected_default(),
                service("echo", "http"),
                service("sniffed", "").replace("app: sniffed", "app: echo"),
                port("echo-tcp", 9000, "tcp"),
                port("echo-any", 9000, ""),
                polite,
            ]),
        ),
        ("pods.yaml", documents(&[echo("echo", "v1"), greeting, client("client", "client", "")])),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    for url in ["http://echo:9080/a", "http://sniffed:9080/a", "http://echo.default.svc.cluster.local:9080/a"]
    {
        let (status, body) = mesh.get_from("client", url, &[]);
        assert_eq!(status, 200, "{url}: {body}");
        assert!(
            body.contains("URI=spiffe://cluster.local/ns/default/sa/client"),
            "{url} was mutual TLS: {body}"
        );
    }
    for (target, more) in [("echo-tcp:9000", ""), ("echo-any:9000", ""), ("echo:9080", "--upgrade")] {
        let mut args = vec![mesh.binary(), "lab", "hold", target, "-c", "10", "-d", "2", "-i", "100"];
        args.extend(Some(more).filter(|m| !m.is_empty()));
        let seen = report(mesh.exec("default", "client", &args).output().unwrap());
        assert_eq!(seen["failures"], serde_json::json!({}), "{target}: {seen}");
        assert!(seen["messages"].as_u64() >= Some(100), "{target}: {seen}");
    }
    // A server that speaks first works on a port that is named as TCP; a sniffed port waits for the client, as in Istio.
    let began = std::time::Instant::now();
    let bash = "exec 3<>/dev/tcp/polite/9080 && head -c 21 <&3";
    let output = mesh.exec("default", "client", &["bash", "-c", bash]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "hello from the server",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
}
