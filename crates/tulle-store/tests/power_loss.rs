//! What is left of a durable store after a kill, in a torn file, and on a full disk.
//!
//! The process that is killed is this test's own program, run again for the ignored test [`the_writer`]. What cannot be tested
//! here is a disk that loses what it said was synchronised.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]
#![allow(clippy::print_stderr, reason = "a seed that is not printed cannot be replayed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use tempfile::TempDir;
use tulle_api::Object;
use tulle_api::kubernetes::ConfigMap;
use tulle_store::{
    Embedded, EmbeddedOptions, Event, Filter, LocalStore as _, OpenError, Store as _, StoreError, Version,
};

/// Rounds of writing and killing altogether.
const ROUNDS: usize = 500;
/// Files that are written and killed side by side.
const LANES: usize = 4;
/// Rounds after which a lane begins with a new file.
const ROUNDS_PER_FILE: usize = 25;
/// Threads of the writer, each with objects of its own.
const THREADS: u64 = 3;
/// Objects of a thread.
const NAMES: u64 = 6;

const FILE: &str = "TULLE_TEST_POWER_LOSS_FILE";
const MODE: &str = "TULLE_TEST_POWER_LOSS_MODE";

/// A store that remembers few changes: its file stays small, and opening it fast.
fn open(file: &Path) -> Result<Embedded, OpenError> {
    Embedded::open_with(file, EmbeddedOptions { log_limit: 64, ..EmbeddedOptions::default() })
}

fn name(thread: u64, n: u64) -> String {
    format!("t{thread}n{n}")
}

/// What the write with the number `seq` says: long enough for several pages, and different everywhere.
fn content(seq: u64) -> String {
    let mut random = Rng::with_seed(seq);
    let length = random.usize(10..5000);
    format!("{seq}:{}", std::iter::repeat_with(|| random.alphanumeric()).take(length).collect::<String>())
}

fn config(name: &str, seq: u64) -> Object {
    let data = [("k".to_owned(), content(seq))].into();
    Object::new("default", name, ConfigMap { data, ..ConfigMap::default() })
}

/// The number of the write that made this object, which must be whole.
fn seq_of(object: &Object) -> u64 {
    let text = &object.get::<ConfigMap>().unwrap().data["k"];
    let seq = text.split(':').next().unwrap().parse().unwrap();
    assert_eq!(*text, content(seq), "an object is half written");
    seq
}

fn version(object: &Object) -> Version {
    object.meta.resource_version.parse().unwrap()
}

fn say(line: &str) {
    // The reader may be gone; then nobody needs it.
    let _ = std::io::stdout().write_all(format!("\n{line}\n").as_bytes());
    let _ = std::io::stdout().flush();
}

#[test]
#[ignore = "the process that the other tests run and kill"]
fn the_writer() {
    let Some(file) = std::env::var_os(FILE).map(PathBuf::from) else { return };
    let mode = std::env::var(MODE).unwrap();
    let store = open(&file).unwrap();
    say("open");
    if mode == "full" {
        fill_the_disk(&store);
        return;
    }
    let first: u64 = mode.parse().unwrap();
    let numbers = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, numbers) = (&store, &numbers);
            scope.spawn(move || {
                let mut random = Rng::with_seed(first ^ thread);
                loop {
                    let seq = numbers.fetch_add(1, Ordering::Relaxed);
                    let object = config(&name(thread, random.u64(..NAMES)), seq);
                    let resource = object.resource();
                    let (verb, at) = match random.u8(..6) {
                        0 => match store.delete_now(&resource, &Default::default()).unwrap() {
                            Some(_) => ("gone", 0),
                            None => continue,
                        },
                        1 => match store.put_status_now(&resource, json!({ "seq": seq })) {
                            Ok(object) => ("status", version(&object)),
                            Err(_) => continue,
                        },
                        _ => ("put", version(&store.put_now(object).unwrap())),
                    };
                    say(&format!("ack {verb} {} {seq} {at}", resource.name));
                }
            });
        }
    });
}

fn writer(file: &Path, mode: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "the_writer", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FILE, file)
        .env(MODE, mode)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// The last acknowledged write of an object.
#[derive(Clone, Debug)]
struct Acknowledged {
    verb: String,
    seq: u64,
    version: Version,
}

/// What is known of one file.
#[derive(Default)]
struct Known {
    last: BTreeMap<String, Acknowledged>,
    version: Version,
    writes: usize,
    early: usize,
}

/// Writes and kills once.
fn round(file: &Path, first: u64, random: &mut Rng, known: &mut Known) {
    let mut child = writer(file, &first.to_string()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // One in five is killed wherever it is, in the middle of its start too; one in five once the file is open; the others after
    // some writes.
    let (wait_for, writes) = match random.u8(..5) {
        0 => ("", 0),
        1 => ("open", 1),
        _ => ("ack ", random.usize(1..15)),
    };
    let mut seen = Vec::new();
    for _ in 0..writes {
        for line in lines.by_ref().map(Result::unwrap) {
            let found = line.starts_with(wait_for);
            seen.push(line);
            if found {
                break;
            }
        }
    }
    // In the middle of whatever it does next.
    std::thread::sleep(Duration::from_micros(random.u64(..if writes == 0 { 40_000 } else { 10_000 })));
    child.kill().unwrap();
    child.wait().unwrap();
    // A line that the kill cut off was not acknowledged as a whole; the write may have been done.
    seen.extend(lines.map_while(Result::ok));
    seen.retain(|line| line.starts_with("ack "));
    known.early += usize::from(seen.is_empty());
    for line in seen {
        let parts: Vec<&str> = line.split(' ').collect();
        let [_, verb, name, seq, at] = parts[..] else { continue };
        let (Ok(seq), Ok(version)) = (seq.parse::<u64>(), at.parse::<Version>()) else { continue };
        assert!(version == 0 || version > known.version, "version {version} was given out before");
        known.writes += 1;
        known.last.insert(name.to_owned(), Acknowledged { verb: verb.to_owned(), seq, version });
    }
}

/// Opens the file and compares it with what was acknowledged.
fn check(file: &Path, known: &mut Known) {
    if !file.exists() {
        assert!(known.last.is_empty(), "the file is gone");
        return;
    }
    let store = open(file).unwrap();
    assert!(store.unreadable().is_empty(), "{:?}", store.unreadable());
    let listing = store.list_now(&Filter::default());
    assert!(listing.version >= known.version, "versions went back");
    let newest = known.last.values().map(|a| a.version).max().unwrap_or(0);
    assert!(
        listing.version >= newest,
        "version {newest} was acknowledged, and {} is the last",
        listing.version
    );
    let mut found = BTreeMap::new();
    for object in &listing.objects {
        let status = object.status.as_ref().map_or(0, |s| s["seq"].as_u64().unwrap());
        found.insert(object.meta.name.clone(), (seq_of(object), status, version(object)));
        assert!(version(object) <= listing.version);
    }
    for (name, last) in &known.last {
        let there = found.get(name);
        // A later write that was not acknowledged may have been done.
        let later = |seq: u64, status: u64| seq > last.seq || status > last.seq;
        let right = match (last.verb.as_str(), there) {
            ("gone", None) => true,
            ("gone", Some((seq, status, _))) => later(*seq, *status),
            ("put", Some((seq, status, at))) => {
                (*seq == last.seq && *at == last.version) || later(*seq, *status)
            }
            ("status", Some((seq, status, at))) => {
                (*status == last.seq && *at == last.version) || later(*seq, *status)
            }
            // Gone by a deletion that was not acknowledged: then the store has moved on since.
            (_, None) => listing.version > last.version,
            _ => false,
        };
        assert!(right, "{name}: {last:?} was acknowledged, and there is {there:?}");
    }
    watch_to_the_end(&store, listing.version);
    known.version = listing.version;
    // What is there now counts from here on.
    known.last.retain(|name, last| match found.get(name) {
        Some((seq, status, at)) => {
            *last = Acknowledged {
                verb: if status > seq { "status" } else { "put" }.into(),
                seq: *seq.max(status),
                version: *at,
            };
            true
        }
        None => false,
    });
}

/// The changes that are remembered lead to the version of the store, one by one.
fn watch_to_the_end(store: &Embedded, end: Version) {
    let from = end.saturating_sub(20);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut watch = store.watch(Filter::default(), from).await.unwrap();
        for wanted in from + 1..=end {
            let change = tokio::time::timeout(Duration::from_secs(30), watch.next()).await.unwrap().unwrap();
            assert_eq!(change.version, wanted);
            if let Event::Put(object) | Event::Delete(object) = change.event {
                seq_of(&object);
            }
        }
    });
}

fn seed() -> u64 {
    std::env::var("TULLE_TEST_SEED").ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap())
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let seed = seed();
    eprintln!("seed {seed} (TULLE_TEST_SEED replays the moments)");
    let began = std::time::Instant::now();
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            std::thread::spawn(move || {
                let mut random = Rng::with_seed(seed ^ lane as u64);
                let (mut writes, mut early) = (0, 0);
                let mut rounds = ROUNDS / LANES;
                while rounds > 0 {
                    let dir = TempDir::new().unwrap();
                    let file = dir.path().join("store.db");
                    let mut known = Known::default();
                    for n in 0..rounds.min(ROUNDS_PER_FILE) {
                        round(&file, 1 + n as u64 * 1_000_000, &mut random, &mut known);
                        check(&file, &mut known);
                        rounds -= 1;
                    }
                    writes += known.writes;
                    early += known.early;
                }
                (writes, early)
            })
        })
        .collect();
    let (writes, early) =
        lanes.into_iter().map(|l| l.join().unwrap()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    eprintln!(
        "{ROUNDS} rounds, {writes} acknowledged writes, {early} rounds killed before the first, {:?}",
        began.elapsed()
    );
    assert!(writes > ROUNDS, "too few writes to mean anything: {writes}");
}

/// Writes until the disk is full, then goes on when it is not.
fn fill_the_disk(store: &Embedded) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let mut seq = 1;
    let refused = loop {
        match store.put_now(config(&format!("n{seq}"), seq)) {
            Ok(_) => seq += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::NotWritten(_)), "{refused}");
    say(&format!("refused {refused}"));
    let before = store.list_now(&Filter::default());
    assert_eq!((before.objects.len() as u64, before.version), (seq - 1, seq - 1), "reads go on");
    let again = store.put_now(config("again", seq));
    assert!(matches!(again, Err(StoreError::NotWritten(_))), "{again:?}");
    setrlimit(Resource::Fsize, Rlimit { current: None, maximum: getrlimit(Resource::Fsize).maximum })
        .unwrap();
    let after = store.put_now(config("after", seq)).unwrap();
    assert_eq!(version(&after), seq, "a write that was refused used no version");
    say(&format!("written {seq}"));
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("store.db");
    drop(open(&file).unwrap());
    let program = writer(&file, "full");
    // A limit of the file's size, which fails as a full disk does.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -S -f 3000; exec \"$0\" \"$@\""]).arg(program.get_program());
    command.args(program.get_args()).env(FILE, &file).env(MODE, "full").stderr(Stdio::piped());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let found = |start: &str| text.lines().find_map(|l| l.strip_prefix(start)).unwrap().to_owned();
    assert!(found("refused ").contains("could not be made durable"), "{text}");
    let last: u64 = found("written ").parse().unwrap();
    let store = open(&file).unwrap();
    let objects = store.list_now(&Filter::default()).objects;
    let mut seqs: Vec<u64> = objects.iter().map(|o| seq_of(o)).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=last).collect::<Vec<_>>());
    watch_to_the_end(&store, last);
}

#[test]
fn a_torn_file_is_repaired_or_refused() {
    const TEARS: usize = 150;
    let seed = seed();
    eprintln!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("store.db");
    let mut said = BTreeSet::new();
    let mut copies = Vec::new();
    let store = open(&file).unwrap();
    for seq in 1..=300 {
        let object = store.put_now(config(&name(0, random.u64(..40)), seq)).unwrap();
        said.insert((object.meta.name.clone(), seq));
        if seq % 60 == 0 {
            // As a kill would leave it, while it is open.
            copies.push(fs::read(&file).unwrap());
        }
    }
    drop(store);
    copies.push(fs::read(&file).unwrap());
    let (mut repaired, mut refused) = (0, 0);
    for _ in 0..TEARS {
        let mut bytes = copies[random.usize(..copies.len())].clone();
        tear(&mut bytes, &mut random);
        let torn = dir.path().join("torn.db");
        fs::write(&torn, &bytes).unwrap();
        match open(&torn) {
            Ok(store) => {
                repaired += 1;
                assert!(store.unreadable().is_empty());
                for object in store.list_now(&Filter::default()).objects {
                    let seq = seq_of(&object);
                    assert!(said.contains(&(object.meta.name.clone(), seq)), "{} {seq}", object.meta.name);
                }
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("torn.db: "), "{error}");
                assert!(fs::read(&torn).unwrap() == bytes, "a file that is refused stays as it is: {error}");
            }
        }
    }
    eprintln!("{TEARS} torn files: {repaired} opened whole, {refused} refused");
    assert!(repaired > 0 && refused > 0);
}

/// Damages the end of a file more often than its beginning.
fn tear(bytes: &mut Vec<u8>, random: &mut Rng) {
    let length = bytes.len();
    let near_the_end = |random: &mut Rng| length - 1 - (random.f64().powi(3) * (length - 1) as f64) as usize;
    match random.u8(..4) {
        0 => bytes.truncate(near_the_end(random)),
        1 => {
            let from = near_the_end(random);
            let to = (from + random.usize(1..8192)).min(length);
            bytes[from..to].iter_mut().for_each(|b| *b = random.u8(..));
        }
        2 => {
            let page = near_the_end(random) / 4096 * 4096;
            let to = (page + 4096).min(length);
            bytes[page..to].fill(0);
        }
        _ => {
            let at = near_the_end(random);
            bytes[at] ^= 1 << random.u8(..8);
        }
    }
}
