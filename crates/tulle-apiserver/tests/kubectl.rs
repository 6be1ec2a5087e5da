//! A stock kubectl against the API, over TLS. Without a kubectl the test is skipped, but not in CI.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use tulle_apiserver::{Identity, Limits, NoMachine, Options, Role, Server, Token, kubeconfig, server_tls};
use tulle_store::Memory;

struct Kubectl {
    dir: tempfile::TempDir,
    _server: Server,
    _runtime: tokio::runtime::Runtime,
}

impl Kubectl {
    /// `None` where there is no kubectl.
    #[allow(clippy::print_stderr, reason = "a skipped test says so")]
    fn start() -> Option<Self> {
        if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
            let ci = std::env::var_os("CI").is_some();
            assert!(!ci, "there is no kubectl: apt-get install kubernetes-client");
            eprintln!("skipped: there is no kubectl");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let tls = server_tls(&dir.path().join("ca.pem")).unwrap();
        let authority = tls.authority.clone();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let options = Options {
            store: Arc::new(Memory::new()),
            tokens: vec![Token::new("secret", Identity { name: "tulle:admin".into(), role: Role::Admin })],
            limits: Limits::default(),
            machine: Arc::new(NoMachine),
            tls: Some(tls),
            audit: tulle_telemetry::audit::AuditLog::default(),
        };
        let server = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            Server::start(listener, options).unwrap()
        });
        let config = kubeconfig(&format!("https://{}", server.address()), &authority, "admin", "secret");
        std::fs::write(dir.path().join("kubeconfig"), config).unwrap();
        Some(Self { dir, _server: server, _runtime: runtime })
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new("kubectl");
        command.args(args.split_whitespace()).stdin(Stdio::null());
        command.env("KUBECONFIG", self.dir.path().join("kubeconfig")).env("HOME", self.dir.path());
        command
    }

    fn output(&self, args: &str) -> Output {
        self.command(args).output().unwrap()
    }

    /// What a command prints that must succeed.
    #[track_caller]
    fn run(&self, args: &str) -> String {
        let output = self.output(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "kubectl {args}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn route(&self, timeout: &str) -> PathBuf {
        self.file(
            "route.yaml",
            &format!(
                "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: cart, namespace: shop}}\nspec:\n  \
                 hosts: [cart]\n  http:\n  - timeout: {timeout}\n    route: [{{destination: {{host: cart}}}}]\n"
            ),
        )
    }
}

#[test]
fn objects_are_applied_shown_and_changed() {
    let Some(k) = Kubectl::start() else { return };
    let file = k.route("5s");
    let apply = format!("apply -f {}", file.display());
    assert!(k.run(&apply).contains("created"));
    assert!(k.run(&apply).contains("unchanged"));
    k.route("6s");
    let diff = k.output(&format!("diff -f {}", file.display()));
    assert_eq!(diff.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&diff.stdout).contains("+  - timeout: 6s")
            || String::from_utf8_lossy(&diff.stdout).contains("timeout: 6s")
    );
    assert!(k.run(&apply).contains("configured"));
    assert!(
        k.run(&format!("apply --server-side --force-conflicts -f {}", file.display()))
            .contains("serverside-applied")
    );
    assert!(k.run("get vs cart -n shop -o yaml").contains("timeout: 6s"));
    assert!(k.run("get vs -A -o wide").contains("cart"));
    assert_eq!(
        k.run("get virtualservices.networking.istio.io -n shop -o name").trim(),
        "virtualservice.networking.istio.io/cart"
    );
    k.run("label vs cart -n shop a=b");
    k.run("annotate vs cart -n shop a=b");
    let labelled = k.run("get vs -n shop -l a=b -o jsonpath={.items[0].metadata.annotations.a}");
    assert_eq!(labelled, "b");
    let mut edit = k.command("edit vs cart -n shop");
    let edited = edit.env("EDITOR", "sed -i s/6s/7s/").output().unwrap();
    assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
    let timeout = "get vs cart -n shop -o jsonpath={.spec.http[0].timeout}";
    assert_eq!(k.run(timeout), "7s");
    k.run("patch vs cart -n shop --type=json -p [{\"op\":\"replace\",\"path\":\"/spec/http/0/timeout\",\"value\":\"8s\"}]");
    assert_eq!(k.run(timeout), "8s");
    k.run("patch vs cart -n shop --type=merge -p {\"spec\":{\"hosts\":[\"cart\",\"basket\"]}}");
    assert!(k.run("describe vs cart -n shop").contains("basket"));
    k.run("delete vs cart -n shop --wait=true --timeout=30s");
    assert!(!k.output("get vs cart -n shop").status.success());
}

#[test]
fn workloads_are_created_scaled_and_waited_for() {
    let Some(k) = Kubectl::start() else { return };
    assert!(k.run("create ns shop --dry-run=server").contains("server dry run"));
    assert!(!k.run("get ns").contains("shop"));
    k.run("create ns shop");
    k.run("create cm settings -n shop --from-literal=a=b");
    assert_eq!(k.run("get cm settings -n shop -o jsonpath={.data.a}"), "b");
    k.run("create deployment web -n shop --image=echo --replicas=2");
    k.run("scale deployment web -n shop --replicas=3");
    assert_eq!(k.run("get deploy web -n shop -o jsonpath={.spec.replicas}"), "3");
    let container =
        "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"side\",\"image\":\"echo\"}]}}}}";
    k.run(&format!("patch deploy web -n shop -p {container}"));
    let images = k.run("get deploy web -n shop -o jsonpath={.spec.template.spec.containers[*].name}");
    assert!(images.contains("side") && images.contains(' '), "{images}");
    let ready = "{\"status\":{\"observedGeneration\":3,\"replicas\":3,\"updatedReplicas\":3,\"availableReplicas\":3,\
        \"conditions\":[{\"type\":\"Available\",\"status\":\"True\"}]}}";
    k.run(&format!("patch deploy web -n shop --subresource=status --type=merge -p {ready}"));
    k.run("wait deploy/web -n shop --for=condition=Available --timeout=30s");
    assert!(k.run("rollout status deploy/web -n shop --timeout=30s").contains("successfully rolled out"));
    let waiting = k.command("wait deploy/web -n shop --for=delete --timeout=60s").spawn().unwrap();
    k.run("delete deploy web -n shop");
    assert!(waiting.wait_with_output().unwrap().status.success());
    k.run("delete ns shop --timeout=60s");
    assert!(!k.output("get cm settings -n shop").status.success());
}

#[test]
fn mistakes_are_explained() {
    let Some(k) = Kubectl::start() else { return };
    assert!(k.run("explain virtualservice.spec.hosts").contains("FIELD: hosts"));
    assert!(k.run("explain deployment.spec.replicas").contains("replicas"));
    let file = k.file(
        "bad.yaml",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: bad}\nspec:\n  hosts: [a]\n  \
         http: [{timeout: soon, hots: 1, route: [{destination: {host: a}}]}]\n",
    );
    let output = k.output(&format!("apply -f {}", file.display()));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && text.contains("spec.http[0].timeout") && text.contains("hots"),
        "{text}"
    );
    assert!(k.run("auth whoami").contains("tulle:admin"));
    assert_eq!(k.run("auth can-i delete pods").trim(), "yes");
    assert!(k.run("api-resources").contains("virtualservices"));
}

#[test]
fn changes_are_followed() {
    let Some(k) = Kubectl::start() else { return };
    k.run("create cm one --from-literal=a=b");
    let mut watch = k.command("get cm -w").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().starts_with("NAME"));
    assert!(next().starts_with("one "));
    k.run("create cm two --from-literal=a=b --from-literal=c=d");
    assert!(next().starts_with("two "));
    k.run("delete cm one");
    assert!(next().starts_with("one "));
    watch.kill().unwrap();
    watch.wait().unwrap();
}
