// What differs between two times: calls that are new or gone, and by how much the others changed.
import { millis, percent, rate } from '../lib/format';
import type { Graph, GraphEdge, GraphNode } from '../lib/types';
import type { Lens, Look } from './lens';
import type { Edge, Model } from './model';

export type Kind = 'new' | 'gone' | 'worse' | 'better' | 'more' | 'less' | 'same';

export interface Figures {
  rate: number;
  errorRate: number;
  p95: number | null;
}

export interface Change {
  /** New or gone; of what was there at both times, `same`. */
  presence: 'new' | 'gone' | 'same';
  before: Figures | null;
  after: Figures | null;
}

export type Changes = Map<string, Change>;

/** From which difference on something is told as another: shares in points, durations and rates as factors. */
const SHARE = 0.01;
const SLOWER = 1.25;
const BUSIER = 1.25;
/** Durations closer than this are the same, whatever the factor; milliseconds. */
const CLOSE = 2;

/** The graph of now with what was there before and is not any more, at rest. */
export function merged(now: Graph, before: Graph): Graph {
  const known = new Set(now.nodes.map((n) => n.id));
  const calls = new Set(now.edges.map(idOf));
  const nodes = [...now.nodes, ...before.nodes.filter((n) => !known.has(n.id)).map(atRest)];
  const gone = before.edges.filter((e) => !calls.has(idOf(e))).map(silent);
  const layout = now.layout && { ...now.layout, places: withPlaces(now, nodes) };
  return { ...now, nodes, edges: [...now.edges, ...gone], ...(layout ? { layout } : {}) };
}

function idOf(edge: GraphEdge): string {
  return `${edge.source}→${edge.target}`;
}

function atRest(node: GraphNode): GraphNode {
  return { ...node, inbound: 0, outbound: 0, health: 'idle', reasons: [] };
}

function silent(edge: GraphEdge): GraphEdge {
  return {
    ...edge,
    rate: 0,
    errors: 0,
    refused: 0,
    errorRate: 0,
    p50: null,
    p95: null,
    p99: null,
    mtls: null,
    codes: {},
    flags: {},
    health: 'idle',
    reasons: [],
  };
}

/** What the layout does not know any more stands in a row below everything. */
function withPlaces(now: Graph, nodes: GraphNode[]): Record<string, [number, number]> {
  const places = { ...now.layout!.places };
  const [width, height] = now.layout!.node;
  const all = Object.values(places);
  const bottom = Math.max(0, ...all.map(([, y]) => y)) + 3 * height;
  const left = Math.min(0, ...all.map(([x]) => x));
  let at = 0;
  for (const { id } of nodes) {
    if (places[id]) continue;
    places[id] = [left + at * (width + 40), bottom];
    at += 1;
  }
  return places;
}

/** Every call of either time, by the id of its edge. */
export function compare(now: Model, before: Model): Changes {
  const changes: Changes = new Map();
  for (const id of new Set([...now.edges.keys(), ...before.edges.keys()])) {
    const [a, b] = [figures(before.edges.get(id)), figures(now.edges.get(id))];
    changes.set(id, { presence: !a ? 'new' : !b ? 'gone' : 'same', before: a, after: b });
  }
  return changes;
}

function figures(edge: Edge | undefined): Figures | null {
  return edge && edge.rate > 0 ? { rate: edge.rate, errorRate: edge.errorRate, p95: edge.p95 } : null;
}

/** What a change is under a lens. */
export function kindOf(change: Change, lens: Lens): Kind {
  if (change.presence !== 'same') return change.presence;
  const [a, b] = [change.before!, change.after!];
  switch (lens) {
    case 'latency': {
      if (a.p95 === null || b.p95 === null || Math.abs(a.p95 - b.p95) < CLOSE) return 'same';
      return b.p95 > a.p95 * SLOWER ? 'worse' : b.p95 * SLOWER < a.p95 ? 'better' : 'same';
    }
    case 'traffic':
      return b.rate > a.rate * BUSIER ? 'more' : b.rate * BUSIER < a.rate ? 'less' : 'same';
    default: {
      const more = b.errorRate - a.errorRate;
      return more >= SHARE ? 'worse' : more <= -SHARE ? 'better' : 'same';
    }
  }
}

/** The change in a few characters, for the label of an edge. */
export function changeLabel(change: Change, lens: Lens): string {
  if (change.presence !== 'same') return change.presence;
  const [a, b] = [change.before!, change.after!];
  if (kindOf(change, lens) === 'same') return '';
  switch (lens) {
    case 'latency':
      return signed(b.p95! - a.p95!, (v) => millis(v));
    case 'traffic':
      return signed(b.rate - a.rate, (v) => rate(v));
    default:
      return signed(b.errorRate - a.errorRate, (v) => percent(v));
  }
}

function signed(value: number, words: (size: number) => string): string {
  return `${value < 0 ? '−' : '+'}${words(Math.abs(value))}`;
}

/** The change in words. */
export function changeWords(change: Change): string {
  const { before, after } = change;
  if (change.presence === 'new' && after) return `new: ${rate(after.rate)}`;
  if (change.presence === 'gone' && before) return `gone: it was ${rate(before.rate)}`;
  if (!before || !after) return 'no calls at either time';
  return [
    `${rate(before.rate)} → ${rate(after.rate)}`,
    `${percent(before.errorRate)} → ${percent(after.errorRate)} failed`,
    `p95 ${millis(before.p95)} → ${millis(after.p95)}`,
  ].join(', ');
}

const TONES: Record<Kind, Look['tone']> = {
  new: 'accent',
  gone: 'idle',
  worse: 'bad',
  better: 'good',
  more: 'flow',
  less: 'warn',
  same: 'idle',
};

/** How the edge is drawn: what did not change steps back. */
export function changeLook(change: Change, lens: Lens): Look {
  const kind = kindOf(change, lens);
  return {
    tone: TONES[kind],
    width: kind === 'same' ? 1.2 : 2.6,
    dashed: kind === 'gone',
    label: changeLabel(change, lens),
  };
}

/** New, gone, worse and better calls, counted. */
export function summary(changes: Changes, lens: Lens): string {
  const counts = new Map<Kind, number>();
  for (const change of changes.values()) {
    const kind = kindOf(change, lens);
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  const words: [Kind, string][] = [
    ['new', 'new'],
    ['gone', 'gone'],
    ['worse', 'worse'],
    ['better', 'better'],
    ['more', 'busier'],
    ['less', 'quieter'],
    ['same', 'unchanged'],
  ];
  return words
    .filter(([kind]) => counts.has(kind))
    .map(([kind, word]) => `${counts.get(kind)} ${word}`)
    .join(', ');
}
