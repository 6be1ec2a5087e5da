// Kiali's language to find and hide: `ns = shop and (%httperr > 1 or ! mtls)`. As there, OR binds tighter than AND; parentheses
// are ours. A word that is none of the language is looked for in names.
import type { Edge, Node } from './model';

export interface Found {
  nodes: Set<string>;
  edges: Set<string>;
}

export type Query = { test: (node: Node) => boolean | null; edge: (edge: Edge) => boolean | null };

export class BadQuery extends Error {}

type Value = string | number | string[] | null;

/** Operands of nodes; `null` is "not known". */
const NODE: Record<string, (n: Node) => Value> = {
  app: (n) => n.app,
  cluster: () => 'Kubernetes',
  name: (n) => [n.name, n.app, ...(n.services ?? [])],
  namespace: (n) => n.namespace,
  node: (n) => n.kind,
  operation: () => null,
  service: (n) => [
    ...new Set([
      ...n.in.flatMap((e) => e.parts.map((p) => short(p.service))),
      ...(n.kind === 'service' ? [n.name] : []),
    ]),
  ],
  version: (n) => n.version,
  workload: (n) => (n.kind === 'workload' ? n.name : ''),
  httpin: (n) => total(n.in, 'http'),
  httpout: (n) => total(n.out, 'http'),
  grpcin: (n) => total(n.in, 'grpc'),
  grpcout: (n) => total(n.out, 'grpc'),
  tcpin: (n) => total(n.in, 'tcp'),
  tcpout: (n) => total(n.out, 'tcp'),
  rank: (n) => n.in.length + n.out.length,
};

const NODE_IS: Record<string, (n: Node) => boolean> = {
  circuitbreaker: (n) => n.badges.includes('circuit-breaker'),
  faultinjection: (n) => n.badges.includes('fault'),
  mirroring: (n) => n.badges.includes('mirror'),
  requestrouting: (n) => n.badges.includes('routing'),
  requesttimeout: (n) => n.badges.includes('timeout'),
  trafficshifting: (n) => n.badges.includes('split'),
  tcptrafficshifting: (n) => n.badges.includes('split') && total(n.in, 'tcp') > 0,
  virtualservice: (n) => n.badges.some((b) => ['split', 'routing', 'fault', 'mirror', 'timeout', 'retry'].includes(b)),
  outofmesh: (n) => n.badges.includes('missing-sidecar'),
  outside: (n) => n.kind === 'external',
  serviceentry: (n) => n.kind === 'external' || n.badges.includes('external'),
  trafficsource: (n) => n.in.length === 0 && n.out.length > 0,
  workloadentry: () => false,
  idle: (n) => n.in.length === 0 && n.out.length === 0,
};

const EDGE: Record<string, (e: Edge) => Value> = {
  destprincipal: (e) => e.parts.map((p) => p.principals?.destination ?? ''),
  sourceprincipal: (e) => e.parts.map((p) => p.principals?.source ?? ''),
  grpc: (e) => of(e, 'grpc'),
  http: (e) => of(e, 'http'),
  tcp: (e) => of(e, 'tcp'),
  '%grpcerr': (e) => failing(e, 'grpc'),
  '%httperr': (e) => failing(e, 'http'),
  '%grpctraffic': (e) => traffic(e, 'grpc'),
  '%httptraffic': (e) => traffic(e, 'http'),
  protocol: (e) => e.protocols,
  responsetime: (e) => e.p95,
  throughput: (e) => e.bytes,
};

const EDGE_IS: Record<string, (e: Edge) => boolean> = {
  mtls: (e) => e.mtls !== null && e.mtls > 0,
  traffic: (e) => e.rate > 0,
};

const BOTH_ARE: Record<string, (thing: Node | Edge) => boolean> = {
  healthy: (t) => t.health === 'healthy' || t.health === 'idle',
};

const SHORT: Record<string, string> = {
  ns: 'namespace',
  svc: 'service',
  wl: 'workload',
  se: 'serviceentry',
  we: 'workloadentry',
  op: 'operation',
  rt: 'responsetime',
  vs: 'virtualservice',
  cb: 'circuitbreaker',
  fi: 'faultinjection',
  rr: 'requestrouting',
  rto: 'requesttimeout',
  ts: 'trafficshifting',
  om: 'outofmesh',
};

/** For the help and for completing with Tab. */
export const OPERANDS = [...new Set([NODE, NODE_IS, EDGE, EDGE_IS, BOTH_ARE].flatMap((t) => Object.keys(t)))].sort();

function short(id: string): string {
  return id.slice(id.indexOf('/') + 1);
}

function total(edges: Edge[], protocol: string): number {
  return edges.reduce((sum, e) => sum + of(e, protocol), 0);
}

function of(edge: Edge, protocol: string): number {
  return edge.parts.filter((p) => p.protocol === protocol).reduce((sum, p) => sum + p.rate, 0);
}

function failing(edge: Edge, protocol: string): number | null {
  const parts = edge.parts.filter((p) => p.protocol === protocol);
  const rate = parts.reduce((sum, p) => sum + p.rate, 0);
  return rate > 0 ? (100 * parts.reduce((sum, p) => sum + p.errors + p.refused, 0)) / rate : null;
}

/** The share of what its source sends. */
function traffic(edge: Edge, protocol: string): number | null {
  const all = total(edge.from.out, protocol);
  return all > 0 ? (100 * of(edge, protocol)) / all : null;
}

const TOKEN = /\s*(!=|>=|<=|=|>|<|!|\(|\)|"[^"]*"|'[^']*'|[^\s=!<>()]+)/y;

function tokens(text: string): string[] {
  const all: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const found = TOKEN.exec(text);
    if (!found) break;
    all.push(found[1]!);
    if (all.length > 200) throw new BadQuery('the question is too long');
  }
  return all;
}

const COMPARE = ['=', '!=', '>', '>=', '<', '<=', 'contains', 'startswith', 'endswith'];

export function parse(text: string): Query {
  const parser = new Parser(tokens(text));
  const query = parser.conjunction();
  if (parser.peek() !== undefined) throw new BadQuery(`“${parser.peek()}” stands where and, or or the end is expected`);
  return query;
}

class Parser {
  private at = 0;
  private depth = 0;
  constructor(private readonly all: string[]) {}

  peek(): string | undefined {
    return this.all[this.at];
  }

  private word(): string | undefined {
    return this.peek()?.toLowerCase();
  }

  private next(expected: string): string {
    const token = this.all[this.at];
    if (token === undefined) throw new BadQuery(`${expected} is missing at the end`);
    this.at += 1;
    return token;
  }

  conjunction(): Query {
    return this.chain('and', () => this.chain('or', () => this.one()));
  }

  private chain(word: 'and' | 'or', part: () => Query): Query {
    const parts = [part()];
    while (this.word() === word) {
      this.at += 1;
      parts.push(part());
    }
    if (parts.length === 1) return parts[0]!;
    return {
      test: (n) =>
        join(
          word,
          parts.map((p) => p.test(n)),
        ),
      edge: (e) =>
        join(
          word,
          parts.map((p) => p.edge(e)),
        ),
    };
  }

  private one(): Query {
    const token = this.next('a name');
    if (token === '!' || token.toLowerCase() === 'not') {
      const inner = this.one();
      return { test: (n) => not(inner.test(n)), edge: (e) => not(inner.edge(e)) };
    }
    if (token === '(') {
      this.depth += 1;
      if (this.depth > 30) throw new BadQuery('too many parentheses');
      const inner = this.conjunction();
      if (this.next('“)”') !== ')') throw new BadQuery('“)” is missing');
      this.depth -= 1;
      return inner;
    }
    return this.operand(token);
  }

  private operand(token: string): Query {
    const low = token.toLowerCase();
    const name = SHORT[low] ?? low;
    let negated = false;
    let operator = this.word();
    if (operator === 'not' || (operator === '!' && COMPARE.includes(this.all[this.at + 1]?.toLowerCase() ?? ''))) {
      const after = this.all[this.at + 1]?.toLowerCase();
      if (after && COMPARE.includes(after)) {
        negated = true;
        this.at += 1;
        operator = after;
      }
    }
    if (operator !== undefined && COMPARE.includes(operator)) {
      this.at += 1;
      const raw = this.next(`a value after “${token} ${operator}”`);
      return compare(name, token, operator, unquote(raw), negated);
    }
    return is(name, unquote(token));
  }
}

function unquote(text: string): string {
  return /^(".*"|'.*')$/.test(text) ? text.slice(1, -1) : text;
}

function is(name: string, token: string): Query {
  const [node, edge, both] = [NODE_IS[name], EDGE_IS[name], BOTH_ARE[name]];
  if (both) return { test: both, edge: both };
  if (node) return { test: node, edge: () => null };
  if (edge) return { test: () => null, edge };
  if (name in NODE || name in EDGE) throw new BadQuery(`“${token}” needs a comparison, as in ${token} = …`);
  const text = token.toLowerCase();
  const inName = (n: Node) => [n.name, n.app, n.namespace, n.version].some((v) => v.toLowerCase().includes(text));
  return { test: inName, edge: () => null };
}

function compare(name: string, token: string, operator: string, wanted: string, negated: boolean): Query {
  const label = name.startsWith('label:');
  const [node, edge] = [label ? () => null : NODE[name], EDGE[name]];
  if (!node && !edge) {
    const hint = OPERANDS.filter((o) => o.startsWith(name.slice(0, 3)));
    throw new BadQuery(`nothing is called “${token}”${hint.length > 0 ? `; did you mean ${hint.join(', ')}?` : ''}`);
  }
  const test = (value: Value) => {
    const holds = matches(value, operator, wanted);
    return negated ? !holds : holds;
  };
  return {
    test: node ? (n) => test(node(n)) : () => null,
    edge: edge ? (e) => test(edge(e)) : () => null,
  };
}

function matches(value: Value, operator: string, wanted: string): boolean {
  if (Array.isArray(value)) {
    return operator === '!='
      ? value.every((v) => matches(v, operator, wanted))
      : value.some((v) => matches(v, operator, wanted));
  }
  // NaN stands for "no activity".
  if (wanted.toLowerCase() === 'nan') {
    const none = value === null || value === 0 || value === '';
    return operator === '!=' ? !none : none;
  }
  if (typeof value === 'number') {
    const number = Number(wanted);
    if (Number.isNaN(number)) throw new BadQuery(`“${wanted}” is not a number`);
    return numbers(value, operator, number);
  }
  const [have, want] = [String(value ?? '').toLowerCase(), wanted.toLowerCase()];
  switch (operator) {
    case '=':
      return have === want;
    case '!=':
      return have !== want;
    case 'contains':
      return have.includes(want);
    case 'startswith':
      return have.startsWith(want);
    case 'endswith':
      return have.endsWith(want);
    default:
      return value !== null && have !== '' && numbers(Number(have), operator, Number(want));
  }
}

function numbers(have: number, operator: string, want: number): boolean {
  switch (operator) {
    case '=':
      return have === want;
    case '!=':
      return have !== want;
    case '>':
      return have > want;
    case '>=':
      return have >= want;
    case '<':
      return have < want;
    case '<=':
      return have <= want;
    default:
      return String(have).includes(String(want));
  }
}

// Three values: what is about edges says nothing of nodes, and the other way round.
function not(value: boolean | null): boolean | null {
  return value === null ? null : !value;
}

function join(word: 'and' | 'or', all: (boolean | null)[]): boolean | null {
  const known = all.filter((v) => v !== null);
  if (word === 'or') return known.length === 0 ? null : known.some(Boolean);
  // With AND, a part that cannot speak of this thing rules it out.
  return known.length === 0 ? null : known.length === all.length && known.every(Boolean);
}

export function find(query: Query, nodes: Iterable<Node>, edges: Iterable<Edge>): Found {
  const found: Found = { nodes: new Set(), edges: new Set() };
  for (const node of nodes) if (query.test(node) === true) found.nodes.add(node.id);
  for (const edge of edges) if (query.edge(edge) === true) found.edges.add(edge.id);
  return found;
}
