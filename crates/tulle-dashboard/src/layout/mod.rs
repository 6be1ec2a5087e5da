//! Places for the nodes of the graph, in the order of calls from left to right, each namespace a frame of its own.
//!
//! The picture stands still: [`Keeper`] remembers where a node was. A node that is new gets a free place beside whom it calls or
//! who calls it; only when much is new, or a frame would run into another, everything is placed anew, and `version` grows. The
//! same calls always give the same places.

mod keeper;
mod layered;
mod pack;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::graph::{Graph, NodeId};
use layered::{Gaps, layered};

pub use keeper::Keeper;

/// Width and height of a node, in the units of places.
pub const NODE: (f64, f64) = (176.0, 48.0);
/// Space between the nodes of a frame.
const INNER: Gaps = Gaps { column: 120.0, row: 22.0 };
/// Between a frame's border and its nodes: at the sides and below, and above, where its name stands.
const MARGIN: f64 = 24.0;
const TITLE: f64 = 44.0;

/// Where everything is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// Grows when nodes have moved.
    pub version: u64,
    /// The middles of nodes.
    pub places: BTreeMap<NodeId, (f64, f64)>,
    /// Namespaces: left, top, width, height. Nodes of no namespace have none.
    pub frames: BTreeMap<String, [f64; 4]>,
}

impl Layout {
    /// `{"version", "node": [width, height], "places": {"ID": [x, y]}, "frames": {"NAMESPACE": [left, top, width, height]}}`.
    pub fn to_json(&self) -> Value {
        let round = |v: f64| (v * 10.0).round() / 10.0;
        let places: BTreeMap<_, _> =
            self.places.iter().map(|(id, (x, y))| (id, [round(*x), round(*y)])).collect();
        let frames: BTreeMap<_, _> = self.frames.iter().map(|(n, f)| (n, f.map(round))).collect();
        json!({"version": self.version, "node": [NODE.0, NODE.1], "places": places, "frames": frames})
    }
}

/// What is placed: nodes at the ends of edges, by namespace.
#[derive(Debug, Default)]
struct Calls {
    /// Namespace of each node; of those without, the node's own name after a NUL, so that it stands alone.
    room: BTreeMap<NodeId, String>,
    edges: BTreeSet<(NodeId, NodeId)>,
}

impl Calls {
    fn of(graph: &Graph) -> Self {
        let mut calls = Self::default();
        for key in graph.edges.keys() {
            for id in [&key.source, &key.target] {
                let namespace = graph.nodes.get(id).map_or("", |n| n.namespace.as_str());
                let room = if namespace.is_empty() { format!("\0{id}") } else { namespace.to_owned() };
                calls.room.insert(id.clone(), room);
            }
            calls.edges.insert((key.source.clone(), key.target.clone()));
        }
        // Nodes that no edge names were without traffic, and are shown all the same.
        let services: BTreeSet<&NodeId> = graph.edges.keys().map(|key| &key.service).collect();
        for (id, node) in &graph.nodes {
            if !calls.room.contains_key(id) && !services.contains(id) {
                let room = if node.namespace.is_empty() { format!("\0{id}") } else { node.namespace.clone() };
                calls.room.insert(id.clone(), room);
            }
        }
        calls
    }

    /// Places everything anew.
    fn place(&self) -> Layout {
        let mut rooms: BTreeMap<&str, Vec<&NodeId>> = BTreeMap::new();
        for (id, room) in &self.room {
            rooms.entry(room).or_default().push(id);
        }
        let inside: Vec<Inside<'_>> = rooms.iter().map(|(room, ids)| self.inside(room, ids)).collect();
        let index: BTreeMap<&str, usize> = rooms.keys().enumerate().map(|(at, room)| (*room, at)).collect();
        let mut edges: Vec<(usize, usize)> = self
            .edges
            .iter()
            .map(|(from, to)| (index[&*self.room[from]], index[&*self.room[to]]))
            .filter(|(from, to)| from != to)
            .collect();
        edges.sort_unstable();
        edges.dedup();
        let sizes: Vec<_> = inside.iter().map(|i| i.size).collect();
        let mut layout = Layout::default();
        for ((room, inside), (x, y)) in rooms.keys().zip(&inside).zip(pack::place(&sizes, &edges)) {
            let (left, top) = (x - inside.size.0 / 2.0, y - inside.size.1 / 2.0);
            if !room.starts_with('\0') {
                layout.frames.insert((*room).to_owned(), [left, top, inside.size.0, inside.size.1]);
            }
            for (id, (x, y)) in &inside.places {
                layout.places.insert((*id).clone(), (left + x, top + y));
            }
        }
        layout
    }

    /// Places the nodes of one room.
    fn inside<'a>(&self, room: &str, ids: &[&'a NodeId]) -> Inside<'a> {
        let index: BTreeMap<&NodeId, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        let of_both = |(from, to): &(NodeId, NodeId)| Some((*index.get(from)?, *index.get(to)?));
        let edges: Vec<(usize, usize)> = self.edges.iter().filter_map(of_both).collect();
        let sizes = vec![NODE; ids.len()];
        let (points, size) =
            pack::with_loose(&sizes, &edges, INNER, |sizes, edges| layered(sizes, edges, INNER));
        let (left, top) = if room.starts_with('\0') { (0.0, 0.0) } else { (MARGIN, TITLE) };
        let places = ids.iter().copied().zip(points.into_iter().map(|(x, y)| (x + left, y + top))).collect();
        let below = if room.starts_with('\0') { 0.0 } else { MARGIN };
        Inside { places, size: (size.0 + 2.0 * left, size.1 + top + below) }
    }
}

/// A room's own picture, from (0, 0) on.
struct Inside<'a> {
    places: Vec<(&'a NodeId, (f64, f64))>,
    size: (f64, f64),
}
