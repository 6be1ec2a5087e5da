// The rules by which requests come to a service, each with its own signals.
import { millis, percent, rate } from '../lib/format';
import type { Golden, Ref } from '../lib/types';
import { Card, Share } from './bits';
import { RefLink } from './detail';
import { Sign } from './sign';
import { type Column, Table } from './table';

/** A rule of a document with routes, and what came of the requests that it sent on; of TCP and TLS nothing is counted. */
export interface Route extends Partial<Golden> {
  id: string;
  name: string;
  resource: Ref;
  rule: number;
  match: string[];
  destinations: { host: string; subset: string | null; port: number | null; weight: number; workloads: string[] }[];
  timeout: number | null;
  retries: { attempts: number; perTryTimeout: number | null; on: string } | null;
  fault: {
    abort: { status: number | string; percentage: number } | null;
    delay: { seconds?: number; fixed?: number; percentage: number } | null;
  } | null;
  mirror: unknown;
  /** Requests of gRPC a second, of all. */
  grpc?: number;
}

function effects(r: Route): string[] {
  const all: string[] = [];
  if (r.timeout != null) all.push(`timeout ${millis(r.timeout * 1000)}`);
  if (r.retries && r.retries.attempts > 0)
    all.push(`${r.retries.attempts} retries on ${r.retries.on || 'the default conditions'}`);
  if (r.fault?.abort) all.push(`fault: ${r.fault.abort.percentage} % aborted with ${r.fault.abort.status}`);
  if (r.fault?.delay) all.push(`fault: ${r.fault.delay.percentage} % delayed`);
  if (r.mirror) all.push('mirrored');
  return all;
}

/** From which share of failed requests on a rule is degraded, and from which it fails: as services are judged. */
const [DEGRADED, FAILING] = [0.01, 0.05];

function Failed({ r }: { r: Route }) {
  if (r.errorRate == null) return <>–</>;
  const status = !r.rate ? 'idle' : r.errorRate >= FAILING ? 'fail' : r.errorRate >= DEGRADED ? 'warn' : 'ok';
  return <Sign status={status} label={percent(r.rate ? r.errorRate : null)} />;
}

function columns(routes: Route[]): Column<Route>[] {
  const total = routes.reduce((sum, r) => sum + (r.rate ?? 0), 0);
  const share = (r: Route) => (total > 0 && r.rate != null ? r.rate / total : null);
  const all: Column<Route>[] = [
    { id: 'match', name: 'When', long: true, show: (r) => (r.match.length > 0 ? r.match.join(' or ') : 'always') },
    {
      id: 'to',
      name: 'To',
      long: true,
      show: (r) =>
        r.destinations.map((d) => (
          <div key={`${d.host}${d.subset}${d.port}`}>
            <Share value={d.weight / 100} label={`${d.weight} %`} /> {d.host}
            {d.subset && <span class="muted"> {d.subset}</span>}
          </div>
        )),
    },
    { id: 'with', name: 'With', long: true, show: (r) => effects(r).map((e) => <div key={e}>{e}</div>) },
    {
      id: 'rate',
      name: 'Requests',
      number: true,
      by: (r) => r.rate,
      show: (r) => (
        <>
          {rate(r.rate ?? null)}
          {share(r) != null && <div class="muted">{percent(share(r))}</div>}
        </>
      ),
    },
    { id: 'errors', name: 'Failed', number: true, by: (r) => r.errorRate, show: (r) => <Failed r={r} /> },
    { id: 'p50', name: 'p50', number: true, wide: 'very', by: (r) => r.p50, show: (r) => millis(r.p50 ?? null) },
    { id: 'p95', name: 'p95', number: true, by: (r) => r.p95, show: (r) => millis(r.p95 ?? null) },
    { id: 'p99', name: 'p99', number: true, wide: 'very', by: (r) => r.p99, show: (r) => millis(r.p99 ?? null) },
    { id: 'by', name: 'Because of', wide: true, show: (r) => <RefLink resource={r.resource} rule={r.rule} /> },
  ];
  if (routes.some((r) => (r.grpc ?? 0) > 0))
    all.splice(4, 0, {
      id: 'grpc',
      name: 'Of gRPC',
      number: true,
      wide: 'very',
      by: (r) => r.grpc,
      show: (r) => rate(r.grpc ?? null),
    });
  return all;
}

export function Routes({ routes }: { routes: Route[] }) {
  return (
    <Card title="Routes, in the order in which they are tried" wide>
      {routes.length === 0 ? (
        <p class="muted">No route is configured: requests go to all endpoints.</p>
      ) : (
        <>
          <Table caption="Routes" rows={routes} id={(r) => r.id} order="" name="sortRoutes" columns={columns(routes)} />
          <p class="muted">
            Counted by who routes: clients’ proxies and gateways. All requests that a rule takes count for it, wherever
            they went. Rules of TCP and TLS are not counted.
          </p>
        </>
      )}
    </Card>
  );
}
