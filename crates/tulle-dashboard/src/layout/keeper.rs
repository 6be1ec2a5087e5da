//! What was where.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{Calls, INNER, Layout, MARGIN, NODE, TITLE};
use crate::graph::{Graph, NodeId};

/// How long a node that is not seen keeps its place, in milliseconds.
const REMEMBERED: i64 = 15 * 60_000;
/// The most nodes whose places are kept.
const MOST: usize = 20_000;
/// Everything is placed anew if more than one in this many is new.
const NEW_SHARE: usize = 4;

/// Remembers places from one graph to the next.
#[derive(Debug, Default)]
pub struct Keeper(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    layout: Layout,
    seen: BTreeMap<NodeId, i64>,
    calls: Calls,
}

impl Keeper {
    /// Places for the nodes of `graph`: where they were, if they were.
    pub fn place(&self, graph: &Graph) -> Layout {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.update(&Calls::of(graph), graph.time)
    }
}

impl State {
    fn update(&mut self, calls: &Calls, now: i64) -> Layout {
        self.forget(now);
        let new: Vec<&NodeId> =
            calls.room.keys().filter(|id| !self.layout.places.contains_key(*id)).collect();
        let many = new.len() * NEW_SHARE > calls.room.len() || self.layout.places.len() + new.len() > MOST;
        if !new.is_empty() && (many || !new.iter().all(|id| self.squeeze_in(id, calls))) {
            self.anew(calls);
        }
        for (id, room) in &calls.room {
            self.calls.room.insert(id.clone(), room.clone());
            let seen = self.seen.entry(id.clone()).or_insert(now);
            *seen = (*seen).max(now);
        }
        self.calls.edges.extend(calls.edges.iter().cloned());
        let mut shown = self.layout.clone();
        shown.places.retain(|id, _| calls.room.contains_key(id));
        shown.frames.retain(|name, _| calls.room.values().any(|room| room == name));
        shown
    }

    /// Forgets what has not been seen for long.
    fn forget(&mut self, now: i64) {
        let Self { layout, seen, calls } = self;
        seen.retain(|_, at| now - *at < REMEMBERED);
        if seen.len() < layout.places.len() {
            layout.places.retain(|id, _| seen.contains_key(id));
            calls.room.retain(|id, _| seen.contains_key(id));
            calls.edges.retain(|(from, to)| seen.contains_key(from) && seen.contains_key(to));
            layout.frames.retain(|name, _| calls.room.values().any(|room| room == name));
        }
    }

    /// Places everything, with what is remembered of calls between the nodes that are there now.
    fn anew(&mut self, calls: &Calls) {
        let known = |id: &NodeId| calls.room.contains_key(id);
        let remembered = self.calls.edges.iter().filter(|(from, to)| known(from) && known(to));
        let edges = calls.edges.iter().chain(remembered).cloned().collect();
        let all = Calls { room: calls.room.clone(), edges };
        let version = self.layout.version + 1;
        self.layout = Layout { version, ..all.place() };
        self.calls = all;
        self.seen.clear();
    }

    /// Gives a new node a free place beside a neighbour in its frame; `false` if there is no room.
    fn squeeze_in(&mut self, id: &NodeId, calls: &Calls) -> bool {
        let room = &calls.room[id];
        let Some(&[left, top, width, height]) = self.layout.frames.get(room) else { return false };
        let neighbour = calls.edges.iter().find_map(|(from, to)| {
            let (other, side) = match (from == id, to == id) {
                (true, false) => (to, -1.0),
                (false, true) => (from, 1.0),
                _ => return None,
            };
            if calls.room.get(other) != Some(room) {
                return None;
            }
            self.layout.places.get(other).map(|place| (*place, side))
        });
        let step = (NODE.0 + INNER.column, NODE.1 + INNER.row);
        // Beside whoever is known; else below all.
        let (x, y) = match neighbour {
            Some(((x, y), side)) => ((x + side * step.0).max(left + MARGIN + NODE.0 / 2.0), y),
            None => (left + MARGIN + NODE.0 / 2.0, top + height - MARGIN + INNER.row + NODE.1 / 2.0),
        };
        let free = |x: f64, y: f64| {
            let near = |p: &(f64, f64)| (p.0 - x).abs() < NODE.0 && (p.1 - y).abs() < step.1 - 1.0;
            !self.layout.places.values().any(near)
        };
        let lowest = top + TITLE + NODE.1 / 2.0;
        let places = (0..200_i32).flat_map(|n| {
            let away = f64::from(n) * step.1;
            [y + away, y - away]
        });
        let Some(y) = places.filter(|y| *y >= lowest).find(|y| free(x, *y)) else { return false };
        let wide = width.max(x + NODE.0 / 2.0 + MARGIN - left);
        let high = height.max(y + NODE.1 / 2.0 + MARGIN - top);
        let grown = [left, top, wide, high];
        let strangers = self.layout.frames.iter().filter(|(name, _)| *name != room).map(|(_, f)| *f);
        let alone = self
            .layout
            .places
            .iter()
            .filter(|(id, _)| self.calls.room.get(*id).is_some_and(|room| room.starts_with('\0')));
        let alone = alone.map(|(_, (x, y))| [x - NODE.0 / 2.0, y - NODE.1 / 2.0, NODE.0, NODE.1]);
        if strangers.chain(alone).any(|other| overlap(grown, other)) {
            return false;
        }
        self.layout.frames.insert(room.clone(), grown);
        self.layout.places.insert(id.clone(), (x, y));
        true
    }
}

fn overlap(a: [f64; 4], b: [f64; 4]) -> bool {
    a[0] < b[0] + b[2] && b[0] < a[0] + a[2] && a[1] < b[1] + b[3] && b[1] < a[1] + a[3]
}
