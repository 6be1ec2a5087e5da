// Requests of the same kind together: who asks whom for what, how often, and how that ends.
import type { Request } from './record';

export interface Kind {
  id: string;
  source: string;
  destination: string;
  method: string;
  /** With `*` for what names one thing among many. */
  path: string;
  /** What all of these paths begin with. */
  prefix: string;
  count: number;
  failed: number;
  /** Durations in milliseconds. */
  best: number;
  median: number;
  worst: number;
  /** When the last one began, in milliseconds since 1970. */
  last: number;
  flags: string[];
}

/** A number, a UUID, or eight and more hexadecimal digits: one thing among many. */
const ONE_OF_MANY = /^(\d+|[\da-f]{8}-[\da-f-]{27}|(?=.*\d)[\da-f]{8,})$/i;

export function shape(path: string): string {
  return path
    .split('/')
    .map((part) => (ONE_OF_MANY.test(part) ? '*' : part))
    .join('/');
}

/** No answer, a status from 500 on, a gRPC status other than 0. */
export function hasFailed(r: Request): boolean {
  return r.status === 0 || r.status >= 500 || (r.grpc_status ?? 0) > 0;
}

const to = (r: Request) => r.destination.workload || r.destination.service || r.authority;
const hop = (r: Request) => [r.request_id, r.method, r.path, to(r)].join('\n');

/** Each hop once: where both sides recorded it, as its client tells it. */
function once(all: Request[]): Request[] {
  const told = new Set(all.filter((r) => r.reporter === 'source' && r.request_id).map(hop));
  return all.filter((r) => r.reporter === 'source' || !told.has(hop(r)));
}

export function kinds(all: Request[]): Kind[] {
  const found = new Map<string, Request[]>();
  for (const r of once(all)) {
    const key = [r.source.workload, to(r), r.method, shape(r.path)].join('\n');
    const known = found.get(key);
    if (known) known.push(r);
    else found.set(key, [r]);
  }
  return [...found].map(([id, these]) => {
    const first = these[0]!;
    const durations = these.map((r) => r.duration).sort((a, b) => a - b);
    const path = shape(first.path);
    return {
      id,
      source: first.source.workload || 'unknown',
      destination: to(first),
      method: first.method,
      path,
      prefix: path.split('*')[0]!,
      count: these.length,
      failed: these.filter(hasFailed).length,
      best: durations[0]!,
      median: durations[Math.floor((durations.length - 1) / 2)]!,
      worst: durations.at(-1)!,
      last: Math.max(...these.map((r) => r.time)),
      flags: [...new Set(these.flatMap((r) => r.flags.split(',')).filter((f) => f !== '' && f !== '-'))],
    };
  });
}
