//! Pods are what their manifests say.

use std::time::{Duration, Instant};

use super::machine::{Place, User, alone, is_root, reachable_by_ordinary_user, text};

const MANIFEST: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: conf, namespace: shop}
data: {greeting: "hello"}
---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: shop}
stringData: {key: "opensesame"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec:
      terminationGracePeriodSeconds: 2
      initContainers:
      - name: first
        command: [sh, -c, "echo from init > /work-dir/note"]
        volumeMounts: [{name: work, mountPath: /work-dir}]
      containers:
      - name: cart
        image: tulle/echo
        args: ["--name", "$(WHO)"]
        ports: [{name: http, containerPort: 8080}]
        env:
        - {name: WHO, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
        - {name: BOTH, value: "$(WHO)-$(GREETING)"}
        - {name: KEY, valueFrom: {secretKeyRef: {name: key, key: key}}}
        envFrom: [{prefix: CONF_, configMapRef: {name: conf}}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        livenessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
        volumeMounts:
        - {name: conf, mountPath: /no/such/place}
        - {name: conf, mountPath: /etc/one-file, subPath: greeting}
        - {name: work, mountPath: /work-dir}
      volumes:
      - {name: conf, configMap: {name: conf}}
      - {name: work, emptyDir: {}}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  selector: {app: cart}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  replicas: 2
  serviceName: db
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: db, image: tulle/echo, ports: [{containerPort: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: http, port: 8080}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once, namespace: shop}
spec:
  template:
    metadata: {}
    spec:
      restartPolicy: Never
      containers: [{name: once, command: [sh, -c, "echo done by $(hostname)"]}]
"#;

/// Whether the pods of the namespace `shop` are as wanted: four of them, each ready or ended well.
fn shop_is_up(status: &serde_json::Value) -> bool {
    let pods = status["pods"].as_array().unwrap();
    let shop: Vec<_> = pods.iter().filter(|p| p["namespace"] == "shop").collect();
    shop.len() == 4 && shop.iter().all(|p| p["reason"] == "")
}

#[test]
fn everything_in_a_manifest_is_there() {
    let _alone = alone();
    manifest_holds(User::Same);
}

#[test]
fn the_same_for_an_ordinary_user() {
    if !is_root() || !reachable_by_ordinary_user() {
        eprintln!("skipped: this needs root, and the program in a place that everybody may enter");
        return;
    }
    let _alone = alone();
    manifest_holds(User::Ordinary);
}

fn manifest_holds(user: User) {
    let place = Place::new(user);
    let file = place.write("shop.yaml", MANIFEST);
    let Some(mesh) = place.up(&[file.to_str().unwrap()], shop_is_up) else { return };
    let sh = |script: &str| {
        let out = place.run("exec", &["-n", "shop", "cart", "--", "sh", "-c", script]);
        (out.status.code(), text(&out.stdout) + &text(&out.stderr))
    };
    assert_eq!(sh("echo $BOTH $KEY $CONF_greeting"), (Some(0), "cart-$(GREETING) opensesame hello\n".into()));
    assert_eq!(sh("cat /no/such/place/greeting /etc/one-file"), (Some(0), "hellohello".into()));
    assert_eq!(sh("cat /work-dir/note; exit 7"), (Some(7), "from init\n".into()));
    assert_eq!(
        sh("(echo x > /no/such/place/y) 2>/dev/null || echo read-only"),
        (Some(0), "read-only\n".into())
    );
    let (_, hosts) = sh("grep $(hostname) /etc/hosts; ls /var/run/secrets/kubernetes.io/serviceaccount");
    assert!(hosts.starts_with("10.244.0.") && hosts.ends_with("namespace\ntoken\n"), "{hosts}");
    // The state directory, with everybody's tokens, is not to be seen.
    let state = place.state_dir();
    assert_eq!(sh(&format!("ls {}", state.display())), (Some(0), String::new()));
    // Names and addresses: the service from another pod, a headless pod, the pod through its own service.
    let fetch = |pod: &str, url: &str| {
        text(
            &place
                .run("exec", &["-n", "shop", pod, "--", env!("CARGO_BIN_EXE_tulle"), "lab", "curl", url])
                .stdout,
        )
    };
    assert!(fetch("db-0", "http://cart/x").contains("\"name\":\"cart\""));
    assert!(fetch("db-0", "http://db-1.db:8080/x").contains("\"name\":\"db-1\""));
    assert!(fetch("cart", "http://cart.shop.svc.cluster.local/x").contains("\"name\":\"cart\""));
    let job = text(&place.run("logs", &["-n", "shop", "once"]).stdout);
    assert!(job.starts_with("done by once-"), "{job}");
    let nobody = place.run("exec", &["cart", "--", "true"]);
    assert!(text(&nobody.stderr).contains("there is one in shop: add -n shop"), "{}", text(&nobody.stderr));
    edits_are_picked_up(&place, &mesh.said());
    mesh.interrupt();
    assert_eq!(place.run("status", &[]).status.code(), Some(3));
}

/// A change is in force at once, and a broken one leaves what was.
fn edits_are_picked_up(place: &Place, before: &str) {
    assert!(!before.contains("error:"), "{before}");
    let greeting = || {
        let args = ["-n", "shop", "cart", "--", "cat", "/no/such/place/greeting"];
        text(&place.run("exec", &args).stdout)
    };
    let wait_for = |what: &dyn Fn() -> bool| {
        let give_up = Instant::now() + Duration::from_secs(10);
        while !what() {
            assert!(Instant::now() < give_up, "the edit is not in force");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    place.write("shop.yaml", &MANIFEST.replace("\"hello\"", "\"good day\""));
    wait_for(&|| greeting() == "good day");
    place.write(
        "shop.yaml",
        &MANIFEST.replace("data: {greeting", "dta: {greeting").replace("targetPort: http", "targetPort: {}"),
    );
    wait_for(&|| std::fs::read_to_string(place.path("stderr")).unwrap().contains("shop.yaml:"));
    let args = ["-n", "shop", "db-0", "--", env!("CARGO_BIN_EXE_tulle"), "lab", "curl", "http://cart/x"];
    assert!(text(&place.run("exec", &args).stdout).contains("\"name\":\"cart\""));
}
