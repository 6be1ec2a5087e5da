// What services and workloads have in common: golden signals, peers, what applies and why.
import { Chart, chartSpan } from '../charts/chart';
import { worst } from '../graph/health';
import { golden } from '../graph/queries';
import { millis, percent, rate } from '../lib/format';
import { link } from '../lib/router';
import type { Golden, Health, Reason, Ref } from '../lib/types';
import { Card } from './bits';
import { Sign } from './sign';
import { type Column, Table } from './table';

export interface Peer extends Partial<Golden> {
  id: string;
  kind: string;
  protocol: string;
  health?: Health;
  reasons?: Reason[];
  principal?: string | null;
}

export interface Applied {
  what: string;
  value: string;
  why: string | null;
  resource: Ref | null;
  rule?: number | null;
}

type Labels = Record<string, string | undefined>;

export function Signals({ title, labels }: { title: string; labels: Labels }) {
  const queries = golden(labels);
  return (
    <Card title={title}>
      <Chart
        title="Requests by response code"
        span={chartSpan()}
        format={rate}
        by="response_code"
        lines={[{ name: 'requests', query: queries.codes, tone: 'flow' }]}
      />
      <Chart
        title="Failed"
        span={chartSpan()}
        format={percent}
        height={96}
        lines={[{ name: 'share', query: `(${queries.errors}) / (${queries.rate})`, tone: 'bad' }]}
      />
      <Chart
        title="Duration"
        span={chartSpan()}
        format={millis}
        lines={[
          { name: 'p50', query: queries.p50, tone: 'slow0' },
          { name: 'p95', query: queries.p95, tone: 'slow2' },
          { name: 'p99', query: queries.p99, tone: 'slow3', dash: true },
        ]}
      />
    </Card>
  );
}

/** A link to whatever an id of the graph names. */
export function IdLink({ id }: { id: string }) {
  const service = id.startsWith('service:');
  const plain = id.replace(/^service:/, '');
  const [namespace, name] = plain.split('/');
  if (!name || id.startsWith('external:') || id === 'unknown') return <span>{id.replace(/^external:/, '')}</span>;
  return (
    <a href={link([service ? 'service' : 'workload', namespace!, name])}>
      {name} <span class="muted">{namespace}</span>
    </a>
  );
}

/** A SPIFFE identity, short: its namespace and service account; whole for who asks. */
export function Identity({ id }: { id: string | null | undefined }) {
  const found = /^spiffe:\/\/([^/]+)\/ns\/([^/]+)\/sa\/(.+)$/.exec(id ?? '');
  if (!found) return <span class="muted break">{id || '–'}</span>;
  const [, domain, namespace, account] = found;
  return (
    <span title={id ?? ''}>
      {account} <span class="muted">{namespace}</span>
      {domain !== 'cluster.local' && <span class="muted"> in {domain}</span>}
    </span>
  );
}

export function RefLink({ resource, rule }: { resource: Ref | null | undefined; rule?: number | null | undefined }) {
  if (!resource) return <span class="muted">default</span>;
  const namespace = resource.namespace && resource.namespace !== '-' ? `${resource.namespace}/` : '';
  return (
    <a href={link(['config', ...resource.id.split('/')])}>
      {resource.kind} {namespace}
      {resource.name}
      {rule != null && <span class="muted"> rule {rule}</span>}
    </a>
  );
}

const OTHER: Column<Peer>[] = [
  { id: 'peer', name: 'Peer', by: (p) => p.id, show: (p) => <IdLink id={p.id} /> },
  {
    id: 'health',
    name: 'Health',
    by: (p) => ['idle', 'healthy', 'degraded', 'failing'].indexOf(p.health ?? 'idle'),
    show: (p) => <Sign status={p.health ?? 'idle'} />,
  },
  { id: 'rate', name: 'Requests', number: true, by: (p) => p.rate, show: (p) => rate(p.rate) },
  { id: 'errors', name: 'Failed', number: true, by: (p) => p.errorRate, show: (p) => percent(p.errorRate) },
  { id: 'p95', name: 'p95', number: true, by: (p) => p.p95, show: (p) => millis(p.p95) },
  { id: 'p99', name: 'p99', number: true, wide: true, by: (p) => p.p99, show: (p) => millis(p.p99) },
];

/** One row for each peer: what a service answered and what never arrived there are two edges of one. */
export function together(peers: Peer[]): Peer[] {
  const all = new Map<string, Peer>();
  for (const peer of peers) {
    const id = `${peer.id} ${peer.protocol}`;
    const other = all.get(id);
    if (!other) {
      all.set(id, peer);
      continue;
    }
    const [more, less] = (peer.rate ?? 0) > (other.rate ?? 0) ? [peer, other] : [other, peer];
    const total = (more.rate ?? 0) + (less.rate ?? 0);
    const errors = (more.errors ?? 0) + (less.errors ?? 0);
    all.set(id, {
      ...more,
      rate: total,
      errors,
      errorRate: total > 0 ? errors / total : 0,
      health: worst([more.health ?? 'idle', less.health ?? 'idle']),
    });
  }
  return [...all.values()];
}

export function Peers({ title, peers, name, none }: { title: string; peers: Peer[]; name: string; none: string }) {
  return (
    <Card title={title}>
      {peers.length === 0 ? (
        <p class="muted">{none}</p>
      ) : (
        <Table
          caption={title}
          rows={together(peers)}
          columns={OTHER}
          id={(p) => `${p.id} ${p.protocol}`}
          order="-rate"
          name={name}
        />
      )}
    </Card>
  );
}

/** What applies to it, and the resource that says so. */
export function Effective({ applied }: { applied: Applied[] }) {
  return (
    <Card title="What applies, and why" wide>
      {applied.length === 0 ? (
        <p class="muted">Nothing is configured for it: Istio's defaults hold.</p>
      ) : (
        <Table
          caption="Effective configuration"
          rows={applied}
          id={(a) => `${a.what}${a.value}${a.resource?.id ?? ''}${a.why ?? ''}`}
          order=""
          name="applied"
          columns={[
            { id: 'what', name: 'What', show: (a) => a.what },
            { id: 'value', name: 'Value', show: (a) => <span class="break">{a.value}</span> },
            { id: 'why', name: 'Because of', show: (a) => <RefLink resource={a.resource} rule={a.rule} /> },
            { id: 'field', name: 'Field', wide: true, show: (a) => <code>{a.why ?? ''}</code> },
          ]}
        />
      )}
    </Card>
  );
}

export function GoldenFigures({ g }: { g: Partial<Golden> }) {
  return (
    <>
      <div class="figure">
        <span class="figure-name">Requests</span>
        <span class="figure-value">{rate(g.rate)}</span>
      </div>
      <div class="figure">
        <span class="figure-name">Failed</span>
        <span
          class={`figure-value${(g.errorRate ?? 0) >= 0.05 ? ' tone-bad' : (g.errorRate ?? 0) >= 0.01 ? ' tone-warn' : ''}`}
        >
          {percent(g.errorRate)}
        </span>
        <span class="figure-note">{rate(g.errors)}</span>
      </div>
      <div class="figure">
        <span class="figure-name">p95</span>
        <span class="figure-value">{millis(g.p95)}</span>
        <span class="figure-note">
          p50 {millis(g.p50)}, p99 {millis(g.p99)}
        </span>
      </div>
    </>
  );
}
