// The graph as it is drawn: an edge for each pair, with what it is made of; nodes with what comes to them.
import type { Graph, GraphEdge, GraphNode, Health, Reason } from '../lib/types';
import { edgeHealth, worst } from './health';

export interface Node extends GraphNode {
  x: number;
  y: number;
  health: Health;
  reasons: Reason[];
  badges: string[];
  /** Figures of what comes to it; of a node that nobody calls, of what it calls. */
  rate: number;
  errorRate: number;
  p95: number | null;
  in: Edge[];
  out: Edge[];
}

export interface Edge {
  id: string;
  from: Node;
  to: Node;
  parts: GraphEdge[];
  protocols: string[];
  rate: number;
  errors: number;
  errorRate: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
  /** Share with mutual TLS among the requests of which it is known. */
  mtls: number | null;
  bytes: number;
  health: Health;
  reasons: Reason[];
  badges: string[];
}

export interface Frame {
  name: string;
  x: number;
  y: number;
  width: number;
  height: number;
  nodes: Node[];
  health: Health;
  rate: number;
}

/** All calls from one namespace to another. */
export interface Bundle {
  from: Frame;
  to: Frame;
  rate: number;
  errors: number;
  health: Health;
  mtls: number | null;
}

export interface Model {
  time: number;
  window: number;
  version: number;
  nodes: Map<string, Node>;
  edges: Map<string, Edge>;
  frames: Frame[];
  bundles: Bundle[];
  nodeSize: [number, number];
}

export function build(graph: Graph): Model {
  const layout = graph.layout ?? fallback(graph);
  const nodes = new Map<string, Node>();
  for (const raw of graph.nodes) {
    const place = layout.places[raw.id];
    if (!place) continue;
    nodes.set(raw.id, {
      ...raw,
      x: place[0],
      y: place[1],
      health: raw.health ?? 'idle',
      reasons: raw.reasons ?? [],
      badges: raw.badges ?? [],
      rate: 0,
      errorRate: 0,
      p95: null,
      in: [],
      out: [],
    });
  }
  const edges = connect(graph, nodes);
  for (const node of nodes.values()) sum(node, graph.nodes);
  const frames = frame(layout.frames, nodes);
  const { time, window } = graph;
  const bundles = bundle(frames, edges);
  return { time, window, version: layout.version, nodes, edges, frames, bundles, nodeSize: layout.node };
}

function connect(graph: Graph, nodes: Map<string, Node>): Map<string, Edge> {
  const groups = new Map<string, GraphEdge[]>();
  for (const part of graph.edges) {
    const id = `${part.source}→${part.target}`;
    const group = groups.get(id);
    if (group) group.push(part);
    else groups.set(id, [part]);
  }
  const edges = new Map<string, Edge>();
  for (const [id, parts] of groups) {
    const [from, to] = [nodes.get(parts[0]!.source), nodes.get(parts[0]!.target)];
    if (!from || !to) continue;
    const edge = merge(id, from, to, parts, graph.window);
    from.out.push(edge);
    to.in.push(edge);
    edges.set(id, edge);
  }
  return edges;
}

function merge(id: string, from: Node, to: Node, parts: GraphEdge[], window: number): Edge {
  const total = (read: (p: GraphEdge) => number) => parts.reduce((sum, p) => sum + read(p), 0);
  const rate = total((p) => p.rate);
  const errors = total((p) => p.errors);
  // Of several services to one workload, that of most calls tells how long they take.
  const main = parts.reduce((a, b) => (b.rate > a.rate && b.p95 !== null ? b : a));
  const known = parts.filter((p) => p.mtls !== null);
  const weight = known.reduce((sum, p) => sum + (p.rate || 1), 0);
  const judged = parts.map((p) => edgeHealth(p, window));
  return {
    id,
    from,
    to,
    parts,
    protocols: [...new Set(parts.map((p) => p.protocol))],
    rate,
    errors,
    errorRate: rate > 0 ? errors / rate : 0,
    p50: main.p50,
    p95: main.p95,
    p99: main.p99,
    mtls: known.length > 0 ? known.reduce((sum, p) => sum + p.mtls! * (p.rate || 1), 0) / weight : null,
    bytes: total((p) => p.bytesSent + p.bytesReceived),
    health: worst(judged.map((j) => j.health)),
    reasons: judged.flatMap((j) => j.reasons),
    badges: [...new Set(parts.flatMap((p) => p.badges ?? []))],
  };
}

function sum(node: Node, raw: GraphNode[]): void {
  const calls = node.in.length > 0 ? node.in : node.out;
  node.rate = calls.reduce((sum, e) => sum + e.rate, 0);
  const errors = calls.reduce((sum, e) => sum + e.errors, 0);
  node.errorRate = node.rate > 0 ? errors / node.rate : 0;
  const slow = calls.filter((e) => e.p95 !== null);
  node.p95 = slow.length > 0 ? Math.max(...slow.map((e) => e.p95!)) : null;
  const told = raw.find((r) => r.id === node.id)?.health;
  if (told && told !== 'idle') return;
  node.health = worst(node.in.length > 0 ? node.in.map((e) => e.health) : node.out.map((e) => e.health));
  if (node.reasons.length === 0) node.reasons = calls.filter((e) => e.health === node.health).flatMap((e) => e.reasons);
}

function frame(frames: Record<string, [number, number, number, number]>, nodes: Map<string, Node>): Frame[] {
  const inside = new Map<string, Node[]>();
  for (const node of nodes.values()) {
    if (!node.namespace) continue;
    const all = inside.get(node.namespace);
    if (all) all.push(node);
    else inside.set(node.namespace, [node]);
  }
  return Object.entries(frames).map(([name, [x, y, width, height]]) => {
    const own = inside.get(name) ?? [];
    const rate = own.reduce((sum, n) => sum + n.in.reduce((s, e) => s + e.rate, 0), 0);
    return { name, x, y, width, height, nodes: own, health: worst(own.map((n) => n.health)), rate };
  });
}

function bundle(frames: Frame[], edges: Map<string, Edge>): Bundle[] {
  const byName = new Map(frames.map((f) => [f.name, f]));
  const bundles = new Map<string, Bundle & { known: number; secured: number }>();
  for (const edge of edges.values()) {
    const [from, to] = [byName.get(edge.from.namespace), byName.get(edge.to.namespace)];
    if (!from || !to || from === to) continue;
    const id = `${from.name}→${to.name}`;
    const fresh = { from, to, rate: 0, errors: 0, health: 'idle' as Health, mtls: null, known: 0, secured: 0 };
    const one = bundles.get(id) ?? fresh;
    one.rate += edge.rate;
    one.errors += edge.errors;
    one.health = worst([one.health, edge.health]);
    if (edge.mtls !== null) {
      one.known += edge.rate;
      one.secured += edge.rate * edge.mtls;
      one.mtls = one.known > 0 ? one.secured / one.known : null;
    }
    bundles.set(id, one);
  }
  return [...bundles.values()];
}

/** In rows by name, for a server that sends no places. */
function fallback(graph: Graph): NonNullable<Graph['layout']> {
  const ends = new Set(graph.edges.flatMap((e) => [e.source, e.target]));
  const ids = graph.nodes.map((n) => n.id).filter((id) => ends.has(id));
  const width = Math.ceil(Math.sqrt(ids.length));
  const places = Object.fromEntries(
    ids.map((id, at) => [id, [(at % width) * 260, Math.floor(at / width) * 90] as [number, number]]),
  );
  return { version: 0, node: [176, 48], places, frames: {} };
}
