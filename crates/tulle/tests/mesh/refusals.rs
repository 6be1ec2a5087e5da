//! What cannot work is refused before anything is made, all at once.

use std::net::TcpListener;

use super::machine::{Place, User, alone, cannot_run, text};

#[test]
fn every_reason_is_said_at_once_with_the_way_out() {
    let _alone = alone();
    let place = Place::new(User::Same);
    let file = place.write(
        "web.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: \"nginx:1\"}]}\n",
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let missing = place.path("missing.yaml");
    let args = [file.to_str().unwrap(), missing.to_str().unwrap(), "--gateway-port", &port.to_string()];
    let out = place.run("up", &args);
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    for wanted in [
        "missing.yaml: No such file or directory",
        "web.yaml:1: Pod default/web: container web: image \"nginx:1\" is not built in",
        "give the container a command",
        &format!("port {port} of 127.0.0.1 is in use by"),
        "--gateway-port",
    ] {
        assert!(said.contains(wanted), "{wanted} is missing from: {said}");
    }
}

#[test]
fn one_mesh_per_state_directory() {
    let _alone = alone();
    let place = Place::new(User::Same);
    let Some(mesh) = place.up(&[], |status| status["ready"] == true) else { return };
    let second = place.run("up", &["--gateway-port", "0"]);
    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("is running already (process") && said.contains("tulle down"), "{said}");
    assert!(!cannot_run(&said));
    mesh.interrupt();
}

#[test]
fn without_a_mesh_questions_end_with_3() {
    let _alone = alone();
    let place = Place::new(User::Same);
    for (command, args) in [("status", &[][..]), ("exec", &["x", "--", "true"]), ("logs", &["x"])] {
        let out = place.run(command, args);
        assert_eq!(out.status.code(), Some(3), "{command}: {}", text(&out.stderr));
        assert!(text(&out.stderr).contains("start one with tulle up"));
    }
}
