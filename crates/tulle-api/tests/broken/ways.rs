//! The ways in which people and programs break documents.

use super::{Dice, Document, edited, replaced};

/// A way to break a document.
type Way = fn(&mut Dice) -> Document;

/// Every way, by name; the thousand files take them in turn.
pub(super) const WAYS: &[(&str, Way)] = &[
    ("wrong-type", wrong_type),
    ("unknown-field", unknown_field),
    ("bad-duration", bad_duration),
    ("bad-regex", bad_regex),
    ("cyclic-delegates", cyclic_delegates),
    ("huge-number", huge_number),
    ("deep-nesting", deep_nesting),
    ("bomb", bomb),
    ("duplicate-key", duplicate_key),
    ("tab", tab),
    ("not-utf8", not_utf8),
    ("unclosed", unclosed),
    ("no-colon", no_colon),
    ("empty-element", empty_element),
    ("out-of-range", out_of_range),
    ("slip-of-a-word", slip_of_a_word),
    ("missing-field", missing_field),
    ("wrong-kind", wrong_kind),
    ("wrong-version", wrong_version),
    ("unknown-alias", unknown_alias),
    ("unknown-tag", unknown_tag),
    ("bad-name", bad_name),
    ("contradiction", contradiction),
    ("control-character", control_character),
    ("wrong-indent", wrong_indent),
];

fn wrong_type(dice: &mut Dice) -> Document {
    let (key, line, says) = dice.pick(&[
        ("weight: 90", "weight: ninety", "must be a whole number"),
        ("weight: 90", "weight: [90]", "must be a whole number"),
        ("weight: 90", "weight: '90'", "must be a whole number"),
        ("weight: 90", "weight: 0.5", "must be a whole number"),
        ("number: 9080", "number: http", "must be a whole number"),
        ("timeout: 10s", "timeout: {seconds: 10}", "must be a duration"),
        ("host: reviews", "host: [reviews]", "must be text"),
        ("host: shadow", "host: 5", "must be text"),
        ("subset: v1", "subset: 1.10", "must be text"),
        ("subset: v1", "subset: yes", "must be text"),
        ("name: one", "name: {one: two}", "must be text"),
        ("value: 50", "value: half", "must be a number"),
        ("exact: GET", "exact: [GET]", "must be text"),
        ("x-added: one", "x-added: 1", "must be text"),
        ("- '*'", "{a: b}", "must be text"),
    ]);
    replaced(dice, key, line, says)
}

fn unknown_field(dice: &mut Dice) -> Document {
    let (key, slip, says) = dice.pick(&[
        ("weight:", "wieght:", "did you mean weight?"),
        ("timeout:", "timeuot:", "did you mean timeout?"),
        ("attempts:", "atempts:", "did you mean attempts?"),
        ("retryOn:", "retryon:", "did you mean retryOn?"),
        ("subset:", "subsets:", "did you mean subset?"),
        ("sourceNamespace:", "sourceNamespaces:", "did you mean sourceNamespace?"),
        ("exportTo:", "exportsTo:", "did you mean exportTo?"),
        ("mirrorPercentage:", "mirrorPercentages:", "did you mean mirrorPercentage?"),
        ("maxAge:", "max_age:", "unknown field"),
        ("request:", "requests:", "did you mean request?"),
        ("perTryTimeout:", "perTryTimeouts:", "did you mean perTryTimeout?"),
        ("name: one", "nome: one", "did you mean name?"),
        ("metadata:", "metadata:\n  labls: {}", "did you mean labels?"),
    ]);
    let mut document = edited(dice, key, says, |old| old.replacen(key, slip, 1));
    document.line += slip.matches('\n').count();
    document
}

fn bad_duration(dice: &mut Dice) -> Document {
    let (text, says) = dice.pick(&[
        ("10", "must be a duration with a unit"),
        ("1.5", "must be a duration with a unit"),
        ("soon", "is not a duration"),
        ("10 s", "is not a duration"),
        ("10sec", "is not a duration"),
        ("-1s", "is negative"),
        ("1.2.3s", "is not a duration"),
        ("99999999h", "is longer than 292 years"),
        ("1us", "must be 1ms or more"),
        ("1500us", "must be a whole number of milliseconds"),
        ("''", "is not a duration"),
        ("true", "must be a duration"),
        ("5m5", "is not a duration"),
    ]);
    let field = dice.pick(&["timeout", "perTryTimeout"]);
    let key = if field == "timeout" { "timeout: 10s" } else { "perTryTimeout: 2s" };
    replaced(dice, key, &format!("{field}: {text}"), says)
}

fn bad_regex(dice: &mut Dice) -> Document {
    let long = format!("'{}'", "a".repeat(1025 + dice.below(5000)));
    let (text, says) = match dice.below(8) {
        0 => (long.as_str(), "at most 1024 are allowed"),
        1 => ("'a(b'", "is not a regular expression"),
        2 => ("'['", "is not a regular expression"),
        3 => ("'*'", "is not a regular expression"),
        4 => ("'a{2,1}'", "is not a regular expression"),
        5 => ("'(?P<a>x)(?P<a>y)'", "is not a regular expression"),
        6 => ("'(a{1000}){1000}'", "is not a regular expression"),
        _ => ("''", "the regular expression is empty"),
    };
    replaced(dice, "regex:", &format!("regex: {text}"), says)
}

/// Delegates that lead back to where they began: whatever the length of the circle, a delegate must not delegate.
fn cyclic_delegates(dice: &mut Dice) -> Document {
    let count = 1 + dice.below(4);
    let mut text = String::new();
    let mut line = 0;
    for i in 0..count {
        if i > 0 {
            text.push_str("---\n");
        }
        text.push_str(&format!("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: d{i}}}\nspec:\n  http:\n"));
        text.push_str("  - match: [{uri: {prefix: /a}}]\n");
        line = text.lines().count();
        text.push_str(&format!("    delegate: {{name: d{}}}\n", (i + 1) % count));
    }
    Document { text: text.into_bytes(), line, says: "a delegate cannot delegate further" }
}

fn huge_number(dice: &mut Dice) -> Document {
    let nines = "9".repeat(1 + dice.below(300) + 20);
    let (key, line, says) = match dice.below(6) {
        0 => ("weight: 90", "weight: 99999999999999999999".to_owned(), "must be between"),
        1 => ("number: 9080", "number: 4294967296".to_owned(), "must be between"),
        2 => ("number: 9080", "number: 65536".to_owned(), "a port is a number"),
        3 => ("weight: 90", "weight: 1e999".to_owned(), "must be a whole number"),
        4 => ("attempts: 3", format!("attempts: {nines}"), "must be"),
        _ => ("value: 50", format!("value: {nines}"), "must be"),
    };
    replaced(dice, key, &line, says)
}

fn deep_nesting(dice: &mut Dice) -> Document {
    let depth = 65 + dice.below(3000);
    let (open, close) = dice.pick(&[("[", "]"), ("{a: ", "}"), ("[{a: ", "}]")]);
    let line = format!("name: {}{}", open.repeat(depth), close.repeat(depth));
    replaced(dice, "name: one", &line, "levels deep")
}

/// Each value holds the one above nine times.
fn bomb(dice: &mut Dice) -> Document {
    let fan = 5 + dice.below(6);
    let mut text = String::from("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\ndata:\n");
    text.push_str(&format!("  a0: &a0 [{}]\n", vec!["x"; fan].join(", ")));
    for i in 1..40 {
        text.push_str(&format!("  a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); fan].join(", ")));
    }
    Document { text: text.into_bytes(), line: bomb_line(fan), says: "once its aliases are written out" }
}

/// The line of a bomb on which it has more values than are read. Every anchored value counts twice: as itself and as what
/// its aliases copy.
fn bomb_line(fan: usize) -> usize {
    const MOST: usize = 400_000;
    // The keys and values of `apiVersion`, `kind` and `metadata` come before.
    let (mut total, mut size, mut line) = (5, fan + 1, 4);
    total += 2 * size;
    loop {
        line += 1;
        if total + size * fan > MOST {
            return line;
        }
        size = size * fan + 1;
        total += 2 * size;
        if total > MOST {
            return line;
        }
    }
}

fn duplicate_key(dice: &mut Dice) -> Document {
    let key = dice.pick(&[
        "timeout: 10s",
        "attempts: 3",
        "host: shadow",
        "value: 50",
        "  name: broken",
        "x-added: one",
    ]);
    let mut document = edited(dice, key, "is given twice in this mapping", |old| format!("{old}\n{old}"));
    document.line += 1;
    document
}

fn tab(dice: &mut Dice) -> Document {
    let key = dice.pick(&[
        "timeout: 10s",
        "attempts: 3",
        "host: shadow",
        "weight: 90",
        "exact: GET",
        "name: broken",
    ]);
    edited(dice, key, "indent with blanks", |old| format!("\t{}", old.trim_start()))
}

fn not_utf8(dice: &mut Dice) -> Document {
    let key = dice.pick(&["timeout: 10s", "host: reviews", "# Above", "name: broken", "regex:"]);
    let key = if key == "# Above" { "spec:" } else { key };
    let bad = dice.pick(&[&b"\xff"[..], b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\x80"]);
    let mut document = edited(dice, key, "is not UTF-8", |old| format!("{old} # \u{1}"));
    let at = document.text.iter().position(|b| *b == 1).unwrap_or_default();
    document.text.splice(at..=at, bad.iter().copied());
    document
}

fn unclosed(dice: &mut Dice) -> Document {
    // Flow style ends with the next line of block style, where the reader finds out.
    let (key, line) = dice.pick(&[
        ("host: shadow", "host: shadow, [}"),
        ("timeout: 10s", "timeout: ]"),
        ("exact: GET", "exact: GET}: }"),
        ("name: one", "name: \"one\" two"),
        ("subset: v1", "subset: 'v1' 2"),
        ("attempts: 3", "attempts: 3: 4"),
    ]);
    replaced(dice, key, line, "")
}

fn no_colon(dice: &mut Dice) -> Document {
    let (key, line) = dice.pick(&[
        ("  http:", "http"),
        ("    route:", "route"),
        ("    retries:", "retries"),
        ("    mirror:", "mirror"),
    ]);
    replaced(dice, key, line, "")
}

fn empty_element(dice: &mut Dice) -> Document {
    let key = dice.pick(&["- first.example.com", "- '*'"]);
    edited(dice, key, "is empty", |old| old[..=old.find('-').unwrap_or_default()].to_owned())
}

fn out_of_range(dice: &mut Dice) -> Document {
    let (key, line, says) = dice.pick(&[
        ("port: 8080", "port: 0", "a port is a number"),
        ("port: 8080", "port: 70000", "a port is a number"),
        ("value: 50", "value: 101", "must be between 0 and 100"),
        ("value: 50", "value: -1", "must be between 0 and 100"),
        ("value: 50", "value: 0.00001", "is too small to have an effect"),
        ("weight: 90", "weight: -1", "must be 0 or more"),
        ("attempts: 3", "attempts: -3", "must be 0 or more"),
        ("attempts: 3", "attempts: 0", "turns retries off"),
        ("maxAge: 10s", "maxAge: 1500ms", "must be a whole number of seconds"),
    ]);
    replaced(dice, key, line, says)
}

fn slip_of_a_word(dice: &mut Dice) -> Document {
    let (key, line, says) = dice.pick(&[
        ("unmatchedPreflights:", "unmatchedPreflights: FORWRD", "did you mean FORWARD?"),
        ("unmatchedPreflights:", "unmatchedPreflights: ignore", "did you mean IGNORE?"),
        ("unmatchedPreflights:", "unmatchedPreflights: 1", "must be one of"),
        ("retryOn:", "retryOn: 5xx,rest", "did you mean reset?"),
        ("retryOn:", "retryOn: 5xx,,reset", "separated by single commas"),
        ("retryOn:", "retryOn: 700", "must be text"),
    ]);
    replaced(dice, key, line, says)
}

/// What is missing is told where it should be: at what it should be in.
fn missing_field(dice: &mut Dice) -> Document {
    let mut document =
        edited(dice, "host: reviews", "spec.http[0].route[0].destination.host: is required", |_| {
            String::new()
        });
    let text = String::from_utf8_lossy(&document.text).into_owned();
    let at = text.lines().position(|l| l.contains("subset: v1")).unwrap_or_default();
    document.line = at;
    document
}

fn wrong_kind(dice: &mut Dice) -> Document {
    let (line, says) = dice.pick(&[
        ("kind: VirtualServise", "did you mean VirtualService?"),
        ("kind: Virtualservice", "did you mean VirtualService?"),
        ("kind: Deployment", "does not exist in networking.istio.io"),
        ("kind: 5", "kind must be given as text"),
    ]);
    replaced(dice, "kind:", line, says)
}

fn wrong_version(dice: &mut Dice) -> Document {
    let (line, says) = dice.pick(&[
        ("apiVersion: networking.istio.io/v2", "is not served in version"),
        ("apiVersion: networking.istio.io/v1alpha2", "is not served in version"),
        ("apiVersion: security.istio.io/v1", "does not exist in security.istio.io"),
        ("apiVersion: v1", "does not exist in the core group"),
        ("apiVersion: 1", "apiVersion must be given as text"),
    ]);
    let mut document = replaced(dice, "apiVersion:", line, says);
    if says.starts_with("does not exist") {
        // It is the kind that is not there.
        document.line += 1;
    }
    document
}

fn unknown_alias(dice: &mut Dice) -> Document {
    let name = dice.pick(&["nowhere", "a", "x-1"]);
    replaced(dice, "timeout: 10s", &format!("timeout: *{name}"), "unknown anchor")
}

fn unknown_tag(dice: &mut Dice) -> Document {
    let tag = dice.pick(&["!shiny", "!include", "!!python/object:x.y"]);
    replaced(dice, "name: one", &format!("name: {tag} one"), "unknown tag")
}

fn bad_name(dice: &mut Dice) -> Document {
    let (key, line, says) = dice.pick(&[
        ("  name: broken", "name: Broken", "is not a name"),
        ("  name: broken", "name: a_b", "is not a name"),
        ("- first.example.com", "first_.example.com", "is not a host name"),
        ("- first.example.com", "a..b", "is not a host name"),
        ("- first.example.com", "https://a.b", "is not a host name"),
        ("host: shadow", "host: a/b", "is not a host name"),
        ("host: shadow", "host: '*'", "traffic cannot be sent to *"),
        ("subset: v1", "subset: v_1", "is not a name"),
        ("sourceNamespace: shop", "sourceNamespace: Shop", "is not a DNS label"),
        ("x-added: one", "'x added': one", "is not a header name"),
        ("x-added: one", "x-added: '50%'", "a % begins a substitution"),
        ("- '*'", "a/b", "is neither *, . nor the name of a namespace"),
    ]);
    replaced(dice, key, line, says)
}

fn contradiction(dice: &mut Dice) -> Document {
    let (key, line, says) = dice.pick(&[
        ("    mirror:", "redirect: {uri: /x}\n    mirror:", "cannot be set together with redirect"),
        ("- second.example.com", "'*.example.com'", "overlaps with the host"),
        ("        exact: GET", "exact: GET\n        prefix: G", "cannot be set together with exact"),
    ]);
    let mut document = replaced(dice, key, line, says);
    match says {
        "cannot be set together with redirect" => {
            let text = String::from_utf8_lossy(&document.text).into_owned();
            document.line = text.lines().position(|l| l.contains("    route:")).unwrap_or_default();
        }
        "cannot be set together with exact" => document.line += 1,
        _ => {}
    }
    document
}

fn control_character(dice: &mut Dice) -> Document {
    let key = dice.pick(&["timeout: 10s", "host: shadow", "exact: GET", "name: broken"]);
    let bad = dice.pick(&['\u{0}', '\u{1}', '\u{7}', '\u{b}', '\u{1b}', '\u{7f}']);
    edited(dice, key, "has the control character", |old| format!("{old}{bad}"))
}

fn wrong_indent(dice: &mut Dice) -> Document {
    let (key, more, says) = dice.pick(&[
        // A key of the element above.
        ("timeout: 10s", 0, "unknown field"),
        // The line below is where the block no longer fits together.
        ("attempts: 3", 1, "did not find expected key"),
        ("weight: 90", 1, "did not find expected"),
    ]);
    let mut document = edited(dice, key, says, |old| format!("  {old}"));
    document.line += more;
    document
}
