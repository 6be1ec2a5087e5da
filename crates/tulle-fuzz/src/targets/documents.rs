//! YAML alone: cutting a file into documents, reading one, and finding places in it again.

use crate::Target;

pub(crate) const TARGET: Target = Target { name: "documents", run, words: WORDS };

const WORDS: &[&str] = &[
    "\n---\n",
    "--- ",
    "...\n",
    "%YAML 1.2\n",
    "- ",
    ": ",
    "? ",
    "\n  ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"",
    "'",
    "&a ",
    "*a",
    "<<: *a\n",
    "|\n",
    ">-\n",
    "!!str ",
    "!x ",
    "\t",
    "null",
    "0x1f",
    "1_000",
    ".inf",
    "\\u00e4",
    "\\ud83d\\ude00",
    "\u{feff}",
    "\r",
    "\r\n",
    "#",
    "\u{85}",
    "\u{2028}",
];

fn run(bytes: &[u8]) {
    match tulle_api::parse_document("fuzz.yaml", bytes) {
        Ok(node) => {
            let json = node.to_json();
            let _ = node.locate("a.b[0]");
            let again = tulle_api::parse_document("again.json", json.to_string().as_bytes());
            // A document of nothing but a number is not one that can be read as a tree of its own.
            if json.is_object() {
                assert_eq!(again.map(|n| n.to_json()), Ok(json));
            }
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
}
