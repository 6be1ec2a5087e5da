//! `docs/fields.md`, the ledger: what becomes of every field, and where that is shown. `UPDATE_EXPECT=1` writes it anew.
//!
//! What has no effect, or none yet, says so in its listing. What is applied is in the list that `tulle-translate` makes by
//! taking each field away and comparing what proxies are told, or names its test in `ledger.txt`. What is neither is
//! counted as not shown.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod tables;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use tables::{innermost, tables};
use tulle_api::Kind;
use tulle_api::schema::{FieldInfo, Notice, RecordInfo, TypeInfo};

/// The test behind the list of effects.
const EFFECTS: &str = "crates/tulle-translate/tests/golden/effects.rs::every_listed_field_has_its_effect";

/// What becomes of a field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// It has its effect, shown by this input or test.
    Applied(String),
    /// It is refused or reported, with the reason.
    Refused(String),
    /// It never does anything: why.
    NoEffect(String),
    /// It does nothing yet: what is missing.
    Planned(String),
    /// No test shows an effect.
    NotShown,
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Applied(_) => "applied",
            Self::Refused(_) => "refused",
            Self::NoEffect(_) => "no effect",
            Self::Planned(_) => "planned",
            Self::NotShown => "not shown",
        }
    }

    fn detail(&self) -> &str {
        match self {
            Self::Applied(d) | Self::Refused(d) | Self::NoEffect(d) | Self::Planned(d) => d,
            Self::NotShown => "",
        }
    }
}

/// A line of the ledger.
struct Row {
    path: String,
    field: FieldInfo,
    state: State,
}

/// What other files know: effects and states by kind and path.
struct Known {
    effects: HashMap<(String, String), String>,
    stated: HashMap<(String, String), State>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn known() -> Known {
    let listed = std::fs::read_to_string(root().join("crates/tulle-translate/tests/effects.txt")).unwrap();
    let effects = listed.lines().map(|l| {
        let words: Vec<&str> = l.split(' ').collect();
        ((words[0].to_owned(), words[1].to_owned()), words[2].to_owned())
    });
    let stated =
        include_str!("ledger.txt").lines().filter(|l| !l.is_empty() && !l.starts_with('#')).map(|l| {
            let words: Vec<&str> = l.splitn(4, ' ').collect();
            let reason = words[3].to_owned();
            let state = match words[2] {
                "applied" => State::Applied(reason),
                "refused" => State::Refused(reason),
                "no-effect" => State::NoEffect(reason),
                "planned" => State::Planned(reason),
                other => panic!("{other} is no state: {l}"),
            };
            ((words[0].to_owned(), words[1].to_owned()), state)
        });
    Known { effects: effects.collect(), stated: stated.collect() }
}

/// The lines of a kind, in the order of the listing. `above` is the state that everything has, if there is one.
fn rows(kind: &str, info: &RecordInfo, all: Option<&State>, known: &Known) -> Vec<Row> {
    let mut out = Vec::new();
    for field in info.fields.iter().chain(info.oneofs.iter().flat_map(|g| g.members)) {
        add(kind, field, "", all, known, &mut out);
    }
    out
}

fn add(kind: &str, field: &FieldInfo, above: &str, all: Option<&State>, known: &Known, out: &mut Vec<Row>) {
    let mut path = format!("{above}{}", field.name);
    let mut ty = field.ty;
    while let TypeInfo::List(of) | TypeInfo::Map(of) = ty {
        path.push_str(if matches!(ty, TypeInfo::List(_)) { "[]" } else { "{}" });
        ty = *of;
    }
    let key = (kind.to_owned(), path.clone());
    let own = match field.notice {
        Notice::NoEffect(reason) => Some(State::NoEffect(reason.to_owned())),
        Notice::Planned(missing) => Some(State::Planned(missing.to_owned())),
        _ => known.stated.get(&key).cloned(),
    };
    let fixed = all.cloned().or(own);
    let index = out.len();
    let state = match (&fixed, known.effects.get(&key)) {
        (Some(state), _) => state.clone(),
        (None, Some(case)) => State::Applied(case.clone()),
        (None, None) => State::NotShown,
    };
    out.push(Row { path: path.clone(), field: *field, state });
    // What is said of a field as a whole holds for what is below it.
    let below = fixed.filter(|f| !matches!(f, State::Applied(_)));
    path.push('.');
    let fields: Vec<&FieldInfo> = match ty {
        TypeInfo::Record(info) => {
            info.fields.iter().chain(info.oneofs.iter().flat_map(|g| g.members)).collect()
        }
        TypeInfo::Oneof(info) => info.members.iter().collect(),
        _ => Vec::new(),
    };
    for field in fields {
        add(kind, field, &path, below.as_ref(), known, out);
    }
    // A record is applied as soon as something in it is.
    if out[index].state == State::NotShown {
        let inner = out[index + 1..].iter().map(|r| &r.state).find(|s| matches!(s, State::Applied(_)));
        if let Some(inner) = inner.cloned() {
            out[index].state = inner;
        }
    }
}

fn of_kind(notice: Notice) -> Option<State> {
    match notice {
        Notice::Planned(missing) => Some(State::Planned(missing.to_owned())),
        Notice::NoEffect(reason) => Some(State::NoEffect(reason.to_owned())),
        _ => None,
    }
}

/// Every table of the mesh with its lines.
fn ledger() -> Vec<(String, Vec<Row>)> {
    let known = known();
    let state = |name: &str| {
        let short = name.strip_prefix("gwapi/");
        let kinds = Kind::ALL.iter().map(|k| k.info()).filter(|i| i.kind == short.unwrap_or(name));
        let group = |g: &str| {
            if short.is_some() { g.starts_with("gateway.") } else { is_mesh(g) && !g.starts_with("gateway.") }
        };
        kinds.filter(|i| group(i.group)).map(|i| of_kind(i.notice)).next().flatten()
    };
    let ours = Kind::ALL.iter().map(|k| k.info()).filter(|i| i.group == tulle_api::policy::GROUP);
    let ours = ours.map(|i| (i.kind.to_owned(), i.record));
    tables()
        .into_iter()
        .chain(ours)
        .map(|(name, info)| {
            let all = state(&name);
            let lines = rows(&name, info, all.as_ref(), &known);
            (name, lines)
        })
        .collect()
}

fn is_mesh(group: &str) -> bool {
    group.ends_with("istio.io")
        || group.starts_with("gateway.networking.")
        || group == tulle_api::policy::GROUP
}

#[test]
fn no_field_is_missing_and_none_is_applied_without_a_test() {
    let ledger = ledger();
    let states: HashMap<(&str, &str), &State> =
        ledger.iter().flat_map(|(k, rows)| rows.iter().map(move |r| ((&**k, &*r.path), &r.state))).collect();
    for line in include_str!("istio-fields.txt").lines() {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        assert!(states.contains_key(&(words[0], words[1])), "{line} is missing");
    }
    let mut wrong = Vec::new();
    for ((kind, path), state) in states {
        if let State::Applied(shown) = state
            && let Err(reason) = exists(shown, path)
        {
            wrong.push(format!("{kind} {path}: {reason}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(exists(EFFECTS, "x").err(), None);
}

/// Whether what shows an effect is there: an input of golden tests, or `file::function`.
fn exists(shown: &str, path: &str) -> Result<(), String> {
    if let Some((file, function)) = shown.split_once("::") {
        let text = std::fs::read_to_string(root().join(file)).map_err(|e| format!("{file}: {e}"))?;
        let found = text.contains(&format!("fn {function}("));
        return found.then_some(()).ok_or_else(|| format!("{file} has no test {function}"));
    }
    let file = format!("crates/tulle-translate/tests/golden/{shown}.yaml");
    let text = std::fs::read_to_string(root().join(&file)).map_err(|e| format!("{file}: {e}"))?;
    let last = path.rsplit('.').next().unwrap_or(path).trim_end_matches(['[', ']', '{', '}']);
    text.contains(last).then_some(()).ok_or_else(|| format!("{file} does not name {last}"))
}

#[test]
fn the_ledger_is_up_to_date() {
    let ledger = ledger();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in ledger.iter().flat_map(|(_, rows)| rows) {
        *counts.entry(row.state.name()).or_default() += 1;
    }
    let mut out = String::from(
        "# What becomes of every field\n\n\
         Made by `UPDATE_EXPECT=1 cargo test -p tulle-api --test ledger`.\n\n\
         * *applied*: taking the field away, or changing it, changes what proxies are told. The input that shows it is named; it\n  \
         is in `crates/tulle-translate/tests/golden`, and `effects.rs` there does the comparison. Where a test is named instead,\n  \
         that test shows it.\n\
         * *no effect*: it is kept, does nothing here, and a diagnostic says so, with the same reason.\n\
         * *planned*: it is kept, not in force yet, and a diagnostic says so.\n\
         * *refused*: it is refused or reported where it is used.\n\
         * *not shown*: it is read and translated, but no test shows an effect yet.\n\n",
    );
    for (state, count) in &counts {
        writeln!(out, "{count} fields are {state}.").unwrap();
    }
    for (kind, rows) in &ledger {
        let of = |name: &str| rows.iter().filter(|r| r.state.name() == name).count();
        writeln!(out, "\n## {}\n", kind.replace("gwapi/", "Gateway API: ")).unwrap();
        writeln!(out, "{} fields, {} applied.\n", rows.len(), of("applied")).unwrap();
        out.push_str("| field | type | meaning | state | shown by, or why |\n|---|---|---|---|---|\n");
        table(rows, &mut out);
    }
    out.push_str("\n# Kubernetes\n\nWhat these kinds do on one machine is not in this ledger beyond what has no effect there.\n");
    for info in Kind::ALL.iter().map(|k| k.info()).filter(|i| !is_mesh(i.group)) {
        let rows = rows(
            info.kind,
            info.record,
            of_kind(info.notice).as_ref(),
            &Known { effects: HashMap::new(), stated: HashMap::new() },
        );
        writeln!(out, "\n## {} ({})\n", info.kind, info.api_version()).unwrap();
        out.push_str("| field | type | meaning | state | why |\n|---|---|---|---|---|\n");
        let mut lines = String::new();
        table(&rows, &mut lines);
        out.push_str(&lines.replace(" | not shown | ", " | kept | "));
    }
    let file = root().join("docs/fields.md");
    expect_file![file].assert_eq(&out);
}

/// The first place of each record of a kind, and what was said below it.
type Seen = HashMap<&'static str, (String, Vec<(String, State)>)>;

/// Writes lines; a record of which the same was said before is named, not repeated.
fn table(rows: &[Row], out: &mut String) {
    let mut seen = Seen::new();
    let mut index = 0;
    while let Some(row) = rows.get(index) {
        let inner = format!("{}.", row.path);
        let below: Vec<(String, State)> = rows[index + 1..]
            .iter()
            .map_while(|r| Some((r.path.strip_prefix(&inner)?.to_owned(), r.state.clone())))
            .collect();
        let name = match innermost(&row.field.ty) {
            TypeInfo::Record(info) => info.name,
            TypeInfo::Oneof(info) => info.name,
            _ => "",
        };
        let known = seen.get(name).filter(|(_, said)| said.len() > 1 && *said == below);
        let meaning = row.field.doc.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        let mut why = [note(&row.field), row.state.detail().to_owned()].join("; ");
        why = why.trim_start_matches("; ").trim_end_matches("; ").to_owned();
        if let Some((first, _)) = known {
            let same = format!("fields as in `{first}`");
            why = if why.is_empty() { same } else { format!("{why}; {same}") };
        }
        let (path, ty, state) = (&row.path, type_name(&row.field.ty), row.state.name());
        writeln!(out, "| `{path}` | {ty} | {meaning} | {state} | {why} |").unwrap();
        index += 1 + if known.is_some() { below.len() } else { 0 };
        if !name.is_empty() {
            seen.entry(name).or_insert((path.clone(), below));
        }
    }
}

fn note(field: &FieldInfo) -> String {
    let notice = match field.notice {
        Notice::Deprecated(instead) => format!("deprecated: {instead}"),
        Notice::NotPortable(meaning) => format!("differs on purpose: {meaning}"),
        Notice::None | Notice::NoEffect(_) | Notice::Planned(_) => String::new(),
    };
    match (field.required, notice.is_empty()) {
        (true, true) => "required".to_owned(),
        (true, false) => format!("required; {notice}"),
        (false, _) => notice,
    }
}

fn type_name(ty: &TypeInfo) -> String {
    match ty {
        TypeInfo::String => "text".to_owned(),
        TypeInfo::Bytes => "base64".to_owned(),
        TypeInfo::Bool => "boolean".to_owned(),
        TypeInfo::Int { min, max } => format!("integer, {min} to {max}"),
        TypeInfo::Double => "number".to_owned(),
        TypeInfo::Duration => "duration".to_owned(),
        TypeInfo::Timestamp => "time".to_owned(),
        TypeInfo::IntOrString => "number or text".to_owned(),
        TypeInfo::Json => "any".to_owned(),
        TypeInfo::Enum(words) => words.join(", "),
        TypeInfo::List(of) => format!("list of {}", type_name(of)),
        TypeInfo::Map(of) => format!("map of {}", type_name(of)),
        TypeInfo::Record(info) => info.name.to_owned(),
        TypeInfo::Oneof(info) => info.name.to_owned(),
    }
}
