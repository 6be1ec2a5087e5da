// What all answers have in common.
import { readFileSync } from 'node:fs';

export const graph = JSON.parse(readFileSync(new URL('../fixtures/graph.json', import.meta.url), 'utf8'));

export const T = graph.time as number;
export const ref = (kind: string, namespace: string, name: string) => ({
  id: `${kind}/${namespace}/${name}`,
  kind,
  group: 'networking.istio.io',
  namespace,
  name,
});
export const golden = (rate: number, errorRate = 0, p50 = 4.2) => ({
  rate,
  errors: rate * errorRate,
  refused: 0,
  errorRate,
  successRate: 1 - errorRate,
  p50,
  p95: p50 * 3,
  p99: p50 * 7,
  mtls: 1,
});
export const breaker = (state = 'closed', ejected = 0, endpoints = 1) => ({
  state,
  ejected,
  endpoints,
  open: [],
  configured: state !== 'none',
});
