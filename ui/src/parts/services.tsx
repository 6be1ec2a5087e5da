// Services as rows: the same on the health page and on their own.

import { badgeWords } from '../graph/badges';
import { count, millis, percent, rate } from '../lib/format';
import { link } from '../lib/router';
import type { Breaker, Golden, Health, Reason, Ref } from '../lib/types';
import { Lock, Sign } from './sign';
import { type Column, Table } from './table';

export interface ServiceRow extends Golden {
  id: string;
  namespace: string;
  name: string;
  host: string;
  kind: 'service' | 'entry';
  ports: { name: string; port: number; protocol: string }[];
  workloads: string[];
  endpoints: { total: number; healthy: number };
  health: Health;
  reasons: Reason[];
  connections: number | null;
  retries: number | null;
  timeouts: number | null;
  breaker: Breaker;
  badges: string[];
  resources: Ref[];
}

const ORDER: Health[] = ['idle', 'healthy', 'degraded', 'failing'];

export function breakerWords(b: Breaker): string {
  if (b.state === 'none') return '–';
  if (b.state === 'open') return b.open.length > 0 ? `open: ${b.open.join(', ')}` : `open: all ${b.endpoints} ejected`;
  return b.ejected > 0 ? `${b.state}: ${b.ejected} of ${b.endpoints} ejected` : b.state;
}

const COLUMNS: Column<ServiceRow>[] = [
  {
    id: 'name',
    name: 'Service',
    by: (r) => r.id,
    show: (r) => (
      <a href={link(['service', r.namespace, r.name])}>
        {r.name} <span class="muted">{r.namespace}</span>
      </a>
    ),
  },
  {
    id: 'health',
    name: 'Health',
    by: (r) => ORDER.indexOf(r.health),
    show: (r) => (
      <>
        <Sign status={r.health} />
        {r.reasons[0] && <div class="why-short">{r.reasons[0].text}</div>}
      </>
    ),
  },
  { id: 'rate', name: 'Requests', number: true, by: (r) => r.rate, show: (r) => rate(r.rate) },
  { id: 'errors', name: 'Failed', number: true, by: (r) => r.errorRate, show: (r) => percent(r.errorRate) },
  { id: 'p50', name: 'p50', number: true, wide: 'very', by: (r) => r.p50, show: (r) => millis(r.p50) },
  { id: 'p95', name: 'p95', number: true, by: (r) => r.p95, show: (r) => millis(r.p95) },
  { id: 'p99', name: 'p99', number: true, wide: true, by: (r) => r.p99, show: (r) => millis(r.p99) },
  {
    id: 'connections',
    name: 'Connections',
    number: true,
    wide: 'very',
    by: (r) => r.connections,
    show: (r) => count(r.connections),
  },
  {
    id: 'endpoints',
    name: 'Endpoints',
    number: true,
    wide: true,
    by: (r) => r.endpoints.healthy,
    show: (r) => `${r.endpoints.healthy}/${r.endpoints.total}`,
  },
  { id: 'breaker', name: 'Breaker', wide: true, by: (r) => r.breaker.state, show: (r) => breakerWords(r.breaker) },
  {
    id: 'mtls',
    name: 'Encryption',
    wide: true,
    by: (r) => r.mtls,
    show: (r) => <Lock share={r.mtls} text={percent(r.mtls)} />,
  },
  {
    id: 'badges',
    name: 'Configured',
    wide: 'very',
    show: (r) => <span class="muted">{r.badges.map(badgeWords).join(', ')}</span>,
  },
];

export function ServiceTable({ rows, order, most }: { rows: ServiceRow[]; order: string; most?: number }) {
  return (
    <Table
      caption="Services"
      rows={rows}
      columns={COLUMNS}
      id={(r) => r.id}
      order={order}
      {...(most ? { most } : {})}
    />
  );
}
