//! Nothing stays of a mesh: not after Ctrl-C, not after `kill -9`, not after its command.

use std::time::{Duration, Instant};

use super::machine::{Machine, Place, User, alone, cannot_run, text};

const MANIFEST: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: deep, namespace: shop}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: deep
    # Children that leave their session and ignore the signal to stop.
    command: [sh, -c, "trap '' TERM; (setsid sleep 1000 &); setsid sh -c 'trap \"\" TERM; sleep 1000' & sleep 1000"]
"#;

fn deep_runs(status: &serde_json::Value) -> bool {
    status["pods"].as_array().unwrap().iter().any(|p| p["name"] == "deep" && p["reason"] == "")
}

#[test]
fn an_interrupt_leaves_nothing() {
    let _alone = alone();
    let before = Machine::look();
    let place = Place::new(User::Same);
    let file = place.write("deep.yaml", MANIFEST);
    let Some(mesh) = place.up(&[file.to_str().unwrap()], deep_runs) else { return };
    assert_ne!(Machine::look(), before, "a mesh is to be seen");
    let began = Instant::now();
    mesh.interrupt();
    assert!(began.elapsed() < Duration::from_secs(15), "stopping took {:?}", began.elapsed());
    before.assert_restored();
    assert!(!place.state_dir().join("running.json").exists());
    assert!(!place.state_dir().join("control.sock").exists());
}

#[test]
fn a_killed_mesh_leaves_nothing_and_the_next_one_starts() {
    let _alone = alone();
    let before = Machine::look();
    let place = Place::new(User::Same);
    let file = place.write("deep.yaml", MANIFEST);
    for last in [false, true] {
        let Some(mesh) = place.up(&[file.to_str().unwrap()], deep_runs) else { return };
        mesh.kill();
        before.assert_restored();
        if last {
            let down = place.run("down", &[]);
            assert!(down.status.success(), "{}", text(&down.stderr));
            assert!(!place.state_dir().join("control.sock").exists());
        }
    }
}

#[test]
fn down_stops_a_running_mesh() {
    let _alone = alone();
    let before = Machine::look();
    let place = Place::new(User::Same);
    let file = place.write("deep.yaml", MANIFEST);
    let Some(mesh) = place.up(&[file.to_str().unwrap()], deep_runs) else { return };
    let down = place.run("down", &[]);
    assert_eq!((down.status.code(), text(&down.stderr)), (Some(0), "stopped\n".into()));
    drop(mesh);
    before.assert_restored();
}

#[test]
fn a_command_ends_the_mesh_with_its_code() {
    let _alone = alone();
    let before = Machine::look();
    let place = Place::new(User::Same);
    let ready = place.path("ready.json");
    let script = format!("cat {} && exit 5", ready.display());
    let args = ["--gateway-port", "0", "--ready-file", ready.to_str().unwrap(), "--exit-after", &script];
    let out = place.run("up", &args);
    if cannot_run(&text(&out.stderr)) {
        return;
    }
    assert_eq!(out.status.code(), Some(5), "{}", text(&out.stderr));
    let line = text(&out.stdout).lines().find(|l| l.starts_with('{')).map(str::to_owned).unwrap();
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(json["gateway"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert!(json["metrics"].as_str().unwrap().ends_with("/metrics"));
    let pods = json["pods"].as_array().unwrap();
    assert!(pods.iter().any(|p| p["name"].as_str().unwrap().starts_with("istiod-")));
    assert!(pods.iter().all(|p| p["netns"].as_str().unwrap().starts_with("/proc/")));
    assert!(!ready.exists(), "the ready file goes with the mesh");
    before.assert_restored();
}
