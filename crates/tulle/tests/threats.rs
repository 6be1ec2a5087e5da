//! Every line of the threat model in `docs/security.md` names a test that is there.

use std::path::Path;

#[test]
fn each_claim_of_the_threat_model_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/security.md")).expect("the page");
    let (_, model) = page.split_once("## Threat model").expect("the threat model");
    let (mut file, mut named, mut wrong) = (String::new(), 0, Vec::new());
    for line in model.lines() {
        for quoted in line.split('`').skip(1).step_by(2) {
            let (place, test) = match quoted.split_once(".rs: ") {
                Some((place, test)) => (format!("{place}.rs"), test),
                None if quoted.ends_with(".rs") => (quoted.to_owned(), ""),
                // Another test of the file that was named last.
                None if quoted.contains('_') && !file.is_empty() && line.starts_with('|') => {
                    (file.clone(), quoted)
                }
                None => continue,
            };
            // A file without its folder is one of the folder of the file before.
            let place = match (place.contains('/'), file.rsplit_once('/')) {
                (false, Some((folder, _))) => format!("{folder}/{place}"),
                _ => place,
            };
            let place = place.trim_start_matches("crates/").to_owned();
            let text = std::fs::read_to_string(root.join("crates").join(&place)).unwrap_or_default();
            let found =
                if test.is_empty() { !text.is_empty() } else { text.contains(&format!("fn {test}(")) };
            if !found {
                wrong.push(format!("{place}: {test}"));
            }
            file = place;
            named += 1;
        }
        let is_claim = line.starts_with("| ") && line.matches('|').count() == 4 && !line.contains("| test |");
        if is_claim && !line.contains(".rs") && !line.contains("the same") && !line.contains("as above") {
            wrong.push(format!("no test: {line}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(named > 20, "{named}");
}
