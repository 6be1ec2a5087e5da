//! The folder of a store: one file per resolution that grows, older ones beside it, names `TIER-START-NUMBER.seg`.
//!
//! A tick is written with one `write`, so that a process that is killed loses what it had not been told to write, and a frame at
//! most that is torn. Nothing is synced: what a machine without power loses is some seconds of graphs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::TIERS;
use super::segment::{Damage, Event, MAGIC, Writer, read};
use super::series::{Description, SeriesRef, SourceRef, Written};
use super::state::State;
use super::tick::{LAST_TIME, STEP_BACK};
use super::value::Value;

/// What a file begins and ends its name with.
const NAMES: [&str; TIERS.len()] = ["full", "minutes", "quarters"];
const ENDING: &str = ".seg";
/// Files larger than this part of the limit are closed.
const PART: u64 = 16;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    tier: usize,
    start: i64,
    /// The last moment in it.
    end: i64,
    number: u64,
    path: PathBuf,
    size: u64,
}

/// The file of one resolution that is written.
#[derive(Debug, Default)]
struct Open {
    number: u64,
    start: i64,
    end: i64,
    file: Option<File>,
    writer: Writer,
    size: u64,
}

/// All files.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    limit: u64,
    open: [Open; TIERS.len()],
    closed: Vec<Found>,
    next: u64,
    /// Whether the last write failed; said once.
    failed: bool,
}

impl Files {
    /// The folder, with what is in it, coarsest and oldest first.
    pub(super) fn open(folder: PathBuf, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            found.extend(Found::of(&entry.path(), entry.metadata()?.len()));
        }
        found.sort_by_key(|f| (std::cmp::Reverse(f.tier), f.number));
        let next = found.iter().map(|f| f.number).max().unwrap_or(0) + 1;
        let mut files = Self { folder, limit, open: Default::default(), closed: found, next, failed: false };
        for tier in 0..TIERS.len() {
            files.open[tier].number = files.take_number();
        }
        Ok(files)
    }

    /// The files that are not written any more.
    pub(super) fn closed(&mut self) -> &mut [Found] {
        &mut self.closed
    }

    fn take_number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Number of the file of a tier that is written.
    pub(super) fn number(&self, tier: usize) -> u64 {
        self.open[tier].number
    }

    pub(super) fn size(&self) -> u64 {
        self.open.iter().map(|o| o.size).chain(self.closed.iter().map(|f| f.size)).sum()
    }

    /// Writes what the writer of a tier has; returns whether that went well.
    fn write(&mut self, tier: usize, time: i64) -> bool {
        let frame = self.open[tier].writer.frame();
        let outcome = self.begin(tier, time).and_then(|file| file.write_all(&frame));
        let open = &mut self.open[tier];
        match outcome {
            Ok(()) => {
                open.size += frame.len() as u64;
                open.end = open.end.max(time);
                self.failed = false;
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::warn!(folder = %self.folder.display(), %error, "telemetry is not written");
                }
                // What was written of it is torn; a new file begins with everything.
                self.rotate(tier);
                false
            }
        }
    }

    fn begin(&mut self, tier: usize, time: i64) -> io::Result<&mut File> {
        let open = &mut self.open[tier];
        if open.file.is_none() {
            let path = path(&self.folder, tier, time, open.number);
            let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
            let mut header = MAGIC.to_vec();
            header.push(u8::try_from(tier).unwrap_or(u8::MAX));
            file.write_all(&header)?;
            open.start = time;
            open.size = header.len() as u64;
            open.file = Some(file);
        }
        open.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Closes the file of a tier; the next write begins another.
    pub(super) fn rotate(&mut self, tier: usize) {
        let number = self.take_number();
        let new = Open { number, ..Open::default() };
        let Open { number, start, end, file, size, .. } = std::mem::replace(&mut self.open[tier], new);
        if file.is_some() {
            let path = path(&self.folder, tier, start, number);
            self.closed.push(Found { tier, start, end, number, path, size });
        }
    }

    /// Closes what is long enough, deletes what is too old or too much; returns how many files went before their time.
    pub(super) fn sweep(&mut self, now: i64) -> u64 {
        for (tier, rate) in TIERS.iter().enumerate() {
            let Open { file, start, size, .. } = &self.open[tier];
            let long = now - start >= rate.span() || now < start - STEP_BACK;
            if file.is_some() && (long || *size > self.limit / PART) {
                self.rotate(tier);
            }
        }
        let old = |f: &Found| f.end < now - TIERS[f.tier].keep - TIERS[f.tier].span();
        for file in self.closed.extract_if(.., |f| old(f)) {
            remove(&file.path);
        }
        let mut lost = 0;
        // The finest first: it is the largest and the soonest replaced.
        self.closed.sort_by_key(|f| (f.tier, f.number));
        while self.size() > self.limit && !self.closed.is_empty() {
            remove(&self.closed.remove(0).path);
            lost += 1;
        }
        lost
    }
}

impl Found {
    fn of(path: &Path, size: u64) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(ENDING)?;
        let mut parts = name.split('-');
        let tier = parts.next()?;
        let tier = NAMES.iter().position(|n| *n == tier)?;
        let start = parts.next()?.parse().ok()?;
        let number = parts.next()?.parse().ok()?;
        parts.next().is_none().then(|| Self { tier, start, end: start, number, path: path.to_owned(), size })
    }
}

fn path(folder: &Path, tier: usize, start: i64, number: u64) -> PathBuf {
    folder.join(format!("{}-{start}-{number}{ENDING}", NAMES[tier]))
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "not deleted");
    }
}

impl State {
    /// Writes a tick of one resolution: the values that `indexes` have at `time`.
    pub(super) fn record(&mut self, tier: usize, owner: usize, time: i64, indexes: &[u32], partial: bool) {
        let Some(mut files) = self.files.take() else { return };
        let source = self.source_in(&mut files, tier, owner);
        let mut values = Vec::new();
        let mut entries = 0;
        for index in indexes {
            entries += usize::from(self.value_in(&mut files, tier, source, *index, &mut values));
        }
        files.open[tier].writer.tick(source, time, partial, entries, &values);
        if !files.write(tier, time) {
            self.losses.records += 1;
        }
        self.files = Some(files);
    }

    /// Writes an end, at all resolutions.
    pub(super) fn record_end(&mut self, owner: usize, time: i64, indexes: &[u32]) {
        let Some(mut files) = self.files.take() else { return };
        for tier in 0..TIERS.len() {
            if indexes.is_empty() {
                continue;
            }
            let source = self.source_in(&mut files, tier, owner);
            let mut ended = Vec::new();
            for index in indexes {
                ended.extend(self.describe_in(&mut files, tier, source, *index));
                if let Some(series) = self.series_mut(*index) {
                    // What comes behind it is described anew.
                    series.written[tier] = Written::default();
                }
            }
            files.open[tier].writer.end(source, time, &ended);
            // The end of what was silent for long is news.
            if !files.write(tier, time.max(self.latest)) {
                self.losses.records += 1;
            }
        }
        self.files = Some(files);
    }

    /// Writes that the clock was set back.
    pub(super) fn record_cut(&mut self, time: i64) {
        let Some(mut files) = self.files.take() else { return };
        for tier in 0..TIERS.len() {
            files.open[tier].writer.cut(time);
            if !files.write(tier, time) {
                self.losses.records += 1;
            }
        }
        self.files = Some(files);
    }

    pub(super) fn flush(&mut self) {
        for file in self.files.iter().flat_map(|f| &f.open).filter_map(|o| o.file.as_ref()) {
            if let Err(error) = file.sync_data() {
                tracing::warn!(%error, "telemetry is not synced");
            }
        }
    }

    fn source_in(&mut self, files: &mut Files, tier: usize, owner: usize) -> u64 {
        let open = &mut files.open[tier];
        let source = &mut self.sources[owner];
        if source.written[tier].file != open.number {
            let id = open.writer.source(&source.name);
            source.written[tier] = Written { file: open.number, id };
        }
        source.written[tier].id
    }

    /// The number of a series in the file of a tier, where it is described if that is new.
    fn describe_in(&mut self, files: &mut Files, tier: usize, source: u64, index: u32) -> Option<u64> {
        let open = &mut files.open[tier];
        let series = self.slots.get_mut(index as usize)?.series.as_deref_mut()?;
        if series.written[tier].file != open.number {
            let text = |symbol| Arc::clone(self.symbols.text(symbol));
            let labels: Vec<_> = series.labels.iter().map(|(n, v)| (text(*n), text(*v))).collect();
            let set = open.writer.set(&series.labels, &labels);
            let name = open.writer.text(self.symbols.text(series.name));
            let id = open.writer.series(source, name, set, series.kind, &series.bounds);
            series.written[tier] = Written { file: open.number, id };
            series.told[tier] = None;
        }
        Some(series.written[tier].id)
    }

    /// Writes which series and its value.
    fn value_in(
        &mut self,
        files: &mut Files,
        tier: usize,
        source: u64,
        index: u32,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(id) = self.describe_in(files, tier, source, index) else { return false };
        let Some(series) = self.series_mut(index) else { return false };
        super::varint::put(out, id);
        let column = &series.tiers[tier];
        let value = column.last().0;
        value.write_after(series.told[tier].as_ref().unwrap_or(column.zero()), out);
        series.told[tier] = Some(value.clone());
        true
    }

    /// Takes what a file says; returns a message if it is damaged.
    pub(super) fn replay(&mut self, found: &mut Found) -> Option<String> {
        let bytes = match fs::read(&found.path) {
            Ok(bytes) => bytes,
            Err(error) => return Some(format!("{}: {error}; left out", found.path.display())),
        };
        let (tier, good, damage) = self.replay_bytes(found, &bytes);
        if tier.is_some_and(|t| usize::from(t) != found.tier) {
            tracing::warn!(path = %found.path.display(), "the file's name and its first bytes name different resolutions");
        }
        let damage = damage?;
        let path = found.path.display();
        Some(format!("{path}: {damage}; read up to byte {good} of {}", bytes.len()))
    }

    fn replay_bytes(&mut self, found: &mut Found, bytes: &[u8]) -> (Option<u8>, usize, Option<Damage>) {
        let mut replay = Replay { tier: found.tier, ..Replay::default() };
        let outcome = read(bytes, &mut |event| replay.event(self, event));
        found.end = found.end.max(replay.end);
        outcome
    }
}

/// Reads the bytes of a file into an empty store and says how they are damaged: for fuzzing and for those who wonder about a file.
pub fn check_segment(bytes: &[u8]) -> Option<Damage> {
    let mut state = State::new(super::Limits { series: 1_000, ..Default::default() }, None);
    let tier = bytes.get(MAGIC.len()).map_or(0, |t| usize::from(*t) % TIERS.len());
    let mut found = Found { tier, start: 0, end: 0, number: 0, path: PathBuf::new(), size: 0 };
    let (.., damage) = state.replay_bytes(&mut found, bytes);
    state.sweep(state.latest);
    let all = super::Wanted {
        matchers: &[],
        from: i64::MIN,
        to: i64::MAX,
        samples: true,
        max_series: usize::MAX,
        max_samples: 1_000_000,
    };
    // Too much is refused, which is well.
    let _ = state.select(&all);
    damage
}

/// A file of one frame whose checksum is right, whatever is in it: for fuzzing.
pub fn framed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(0);
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A file being read into the store.
#[derive(Default)]
struct Replay {
    tier: usize,
    /// Sources by the file's numbers, each with its series.
    sources: Vec<(SourceRef, Vec<SeriesRef>)>,
    /// Series by the file's numbers.
    series: Vec<Option<SeriesRef>>,
    /// The last moment.
    end: i64,
}

impl Replay {
    fn event(&mut self, state: &mut State, event: Event<'_>) {
        if let Event::Tick { time, .. } | Event::End { time, .. } | Event::Cut(time) = event
            && !(0..LAST_TIME).contains(&time)
        {
            return;
        }
        match event {
            Event::Source(name) => self.sources.push((state.source(name), Vec::new())),
            Event::Series { source, name, labels, kind, bounds } => {
                let described = Description { name, kind, labels: &labels, bounds: &bounds };
                let (owner, all) = &mut self.sources[source];
                let series = state.define(*owner, &described).ok();
                all.extend(series);
                self.series.push(series);
            }
            Event::Tick { source, time, partial, values } => self.tick(state, source, time, partial, values),
            Event::Cut(time) => {
                state.cut(self.tier, time);
                state.turn_back(time);
                // Whatever lives on is described again behind it.
                self.sources.iter_mut().for_each(|(_, all)| all.clear());
            }
            Event::End { time, series } => {
                for id in series {
                    let known = self.series.get(*id).copied().flatten();
                    if let Some(series) = known.and_then(|s| state.series_of(s)) {
                        series.tiers[self.tier].push(time, None, TIERS[self.tier].span());
                    }
                }
            }
        }
    }

    fn tick(
        &mut self,
        state: &mut State,
        source: usize,
        time: i64,
        partial: bool,
        values: &[(usize, Value)],
    ) {
        let (tier, span) = (self.tier, TIERS[self.tier].span());
        self.end = self.end.max(time);
        for (id, value) in values {
            let known = self.series.get(*id).copied().flatten();
            let Some(series) = known.and_then(|s| state.series_of(s)) else { continue };
            if !value.same(series.tiers[tier].last().0) {
                series.changed = series.changed.max(time);
            }
            series.tiers[tier].push(time, Some(value), span);
        }
        let (owner, all) = &self.sources[source];
        for known in all.iter().filter(|_| !partial) {
            let Some(series) = state.series_of(*known) else { continue };
            let column = &mut series.tiers[tier];
            let (value, ended) = column.last();
            if !ended && column.last_time() != Some(time) {
                let value = value.clone();
                column.push(time, Some(&value), span);
            }
        }
        if tier == 0
            && let Some(owner) = state.resolve_source(*owner)
        {
            let source = &mut state.sources[owner];
            source.last = source.last.max(time);
            source.live = true;
        }
        state.latest = state.latest.max(time);
    }
}
