// What the graph tells by colour and words: one question at a time.
import { millis, percent, rate } from '../lib/format';
import type { Health } from '../lib/types';
import type { Bundle, Edge } from './model';

export type Lens = 'errors' | 'latency' | 'traffic' | 'mtls';
export const LENSES: { id: Lens; name: string; about: string }[] = [
  { id: 'errors', name: 'Errors', about: 'Share of failed requests: no answer, 5xx, gRPC failures' },
  { id: 'latency', name: 'Latency', about: '95th percentile of durations, as the caller sees them' },
  { id: 'traffic', name: 'Traffic', about: 'Requests a second' },
  { id: 'mtls', name: 'Encryption', about: 'Share of requests with mutual TLS' },
];

/** A colour of the style sheet. */
export type Tone = 'good' | 'warn' | 'bad' | 'idle' | 'slow0' | 'slow1' | 'slow2' | 'slow3' | 'flow' | 'tcp' | 'accent';

export interface Look {
  tone: Tone;
  /** Width of the line. */
  width: number;
  dashed: boolean;
  label: string;
}

export function healthTone(health: Health): Tone {
  return health === 'failing' ? 'bad' : health === 'degraded' ? 'warn' : health === 'idle' ? 'idle' : 'good';
}

/** Steps of latency in milliseconds. */
export const SLOW = [50, 250, 1000];

export function slowTone(value: number | null): Tone {
  if (value === null) return 'idle';
  const at = SLOW.findIndex((limit) => value < limit);
  return (['slow0', 'slow1', 'slow2', 'slow3'] as const)[at < 0 ? 3 : at]!;
}

export function mtlsTone(share: number | null): Tone {
  return share === null ? 'idle' : share >= 0.9995 ? 'good' : share > 0 ? 'warn' : 'bad';
}

function width(value: number, most: number): number {
  return most > 0 ? 1.2 + 2.2 * Math.sqrt(Math.min(1, value / most)) : 1.2;
}

/** Why calls fail, in a word, by the response flag that is told first. */
const CAUSES: Record<string, string> = {
  FI: 'fault',
  UO: 'breaker',
  UT: 'timeout',
  UH: 'no endpoint',
  UF: 'no connection',
  NR: 'no route',
  RL: 'rate limit',
  UAEX: 'denied',
  URX: 'retries',
};

function cause(edge: Edge): string {
  const flag = edge.reasons.find((r) => r.code.startsWith('flag:'))?.code.slice('flag:'.length);
  return CAUSES[flag ?? ''] ?? '';
}

export function edgeLook(edge: Edge, lens: Lens, most: number): Look {
  const tcp = edge.protocols.every((p) => p === 'tcp');
  const base = { width: width(edge.rate, most), dashed: edge.rate <= 0 };
  switch (lens) {
    case 'errors': {
      const label = edge.errors > 0 ? [percent(edge.errorRate), cause(edge)].filter(Boolean).join(' ') : '';
      const plain = tcp && edge.health === 'healthy';
      return { ...base, tone: plain ? 'tcp' : healthTone(edge.health), label };
    }
    case 'latency':
      return { ...base, tone: tcp ? 'tcp' : slowTone(edge.p95), label: tcp ? '' : millis(edge.p95) };
    case 'traffic':
      return { ...base, tone: tcp ? 'tcp' : 'flow', label: rate(edge.rate) };
    case 'mtls':
      return { ...base, tone: mtlsTone(edge.mtls), label: edge.mtls === null ? 'unknown' : percent(edge.mtls) };
  }
}

export function bundleLook(bundle: Bundle, lens: Lens, most: number): Look {
  const share = bundle.rate > 0 ? bundle.errors / bundle.rate : 0;
  const base = { width: width(bundle.rate, most) + 1, dashed: false };
  switch (lens) {
    case 'mtls':
      return { ...base, tone: mtlsTone(bundle.mtls), label: bundle.mtls === null ? '' : percent(bundle.mtls) };
    case 'errors':
      return { ...base, tone: healthTone(bundle.health), label: share > 0 ? percent(share) : '' };
    default:
      return { ...base, tone: 'flow', label: rate(bundle.rate) };
  }
}
