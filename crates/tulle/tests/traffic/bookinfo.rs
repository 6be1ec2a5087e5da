//! The README's first command.

use crate::harness::{Mesh, Spec, User, is_root};

fn shows_the_book(user: User) {
    let mesh = Mesh::start(&Spec { user, args: &["--demo", "bookinfo"], ..Spec::default() });
    eprintln!("ready after {:?} as {user:?}", mesh.ready_after);
    let pages: Vec<(u16, String)> = (0..30).map(|_| mesh.get("/productpage")).collect();
    for (status, page) in &pages {
        assert_eq!(*status, 200, "{page}");
        assert!(page.contains("The Comedy of Errors") && page.contains("ISBN-13"), "{page}");
        assert!(page.contains("Reviewer1"), "{page}");
    }
    let with = |text: &str| pages.iter().filter(|(_, page)| page.contains(text)).count();
    assert!(with("color:red") > 0 && with("color:black") > 0, "stars of both colours");
    assert!(with("color:red") + with("color:black") < pages.len(), "and reviews without stars");
    let (status, took) = mesh.stop();
    assert!(status.success(), "{status}");
    eprintln!("stopped after {took:?}");
}

#[test]
fn bookinfo_as_whoever_runs_the_tests() {
    shows_the_book(User::Me);
}

#[test]
fn bookinfo_as_an_ordinary_user() {
    if !is_root() {
        eprintln!("already covered: the tests run as an ordinary user");
        return;
    }
    shows_the_book(User::Ordinary);
}
