// Health of an edge or a node where the server has not said it: the same rule for all, told with its figures.
import { percent } from '../lib/format';
import type { GraphEdge, Health, Reason } from '../lib/types';

/** A share of failed requests from which on it is bad, and from which on it is not good. */
export const FAILING = 0.05;
export const DEGRADED = 0.01;
/** Shares of fewer failures than this in the window say nothing. */
export const ENOUGH = 2;

export interface Counted {
  rate: number;
  errors: number;
}

export function judge({ rate, errors }: Counted, window: number): { health: Health; reasons: Reason[] } {
  if (rate <= 0) return { health: 'idle', reasons: [] };
  const share = errors / rate;
  const failed = errors * window;
  const many = failed >= ENOUGH;
  const health = many && share >= FAILING ? 'failing' : many && share >= DEGRADED ? 'degraded' : 'healthy';
  if (health === 'healthy') return { health, reasons: [] };
  const limit = health === 'failing' ? FAILING : DEGRADED;
  const text = `${percent(share)} of requests failed, from ${percent(limit)} on it is ${health}`;
  return { health, reasons: [{ code: 'errors', text, value: share, limit }] };
}

const ORDER: Health[] = ['idle', 'healthy', 'degraded', 'failing'];

export function worst(all: Iterable<Health>): Health {
  let found: Health = 'idle';
  for (const one of all) if (ORDER.indexOf(one) > ORDER.indexOf(found)) found = one;
  return found;
}

export function edgeHealth(edge: GraphEdge, window: number): { health: Health; reasons: Reason[] } {
  if (edge.health) return { health: edge.health, reasons: edge.reasons ?? [] };
  return judge(edge, window);
}
