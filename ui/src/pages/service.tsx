// One service: how well it is called, by which routes, by whom, on which endpoints, and what applies to it.
import { count, millis, percent, rate } from '../lib/format';
import { timing } from '../lib/live';
import { link, place } from '../lib/router';
import type { Golden, Reason } from '../lib/types';
import { useAsk } from '../lib/use';
import { Card, Figure, Share } from '../parts/bits';
import { type Applied, Effective, GoldenFigures, IdLink, type Peer, Peers, Signals } from '../parts/detail';
import { DetailPage } from '../parts/detail-page';
import { type Route, Routes } from '../parts/routes';
import { breakerWords, type ServiceRow } from '../parts/services';
import { Lock, Sign, type Status } from '../parts/sign';
import { Table } from '../parts/table';

interface Endpoint {
  address: string;
  pod: string;
  workload: string;
  version: string;
  ready: boolean;
  zone: string;
  weight: number;
  breaker: 'closed' | 'open' | 'half-open' | 'none';
  ejectedBy: string[];
  rate: number | null;
  errors: number | null;
  connections: number | null;
}

export interface ServiceDetail extends Omit<ServiceRow, 'endpoints'> {
  routes: Route[];
  peers: { inbound: Peer[]; outbound: Peer[] };
  subsets: (Golden & { name: string; labels: string[]; workloads: string[] })[];
  endpoints: { total: number; healthy: number; list: Endpoint[] };
  configuration: Applied[];
  queries: Record<string, string>;
  commands: string[];
}

export function ServicePage() {
  const [, namespace = '', name = ''] = place.value.parts;
  const loaded = useAsk<ServiceDetail>(
    `services/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}?${timing()}`,
  );
  const { data } = loaded;
  return (
    <DetailPage
      kind="service"
      namespace={namespace}
      name={name}
      sub={`Service in ${namespace}${data ? `, ${data.ports.map((p) => `port ${p.port} ${p.protocol}`).join(', ')}` : ''}`}
      graph={{ find: `service = ${name}` }}
      requests={{ service: data?.host }}
      extra={
        <a class="button" href={link(['config', 'new'], { wizard: 'split', host: `${namespace}/${name}` })}>
          Change routing
        </a>
      }
      loaded={loaded}
      reasons={why}
      figures={(s) => (
        <>
          <GoldenFigures g={s} />
          <Figure name="Connections" value={count(s.connections)} note="open now" />
          <Figure name="Breaker" value={<span class="figure-small">{breakerWords(s.breaker)}</span>} />
          <Figure name="Encryption" value={<Lock share={s.mtls} text={percent(s.mtls)} />} />
        </>
      )}
      parts={[
        { id: 'traffic', name: 'Traffic', show: (s) => <Traffic s={s} /> },
        { id: 'routes', name: 'Routes', show: (s) => <Routes routes={s.routes} /> },
        { id: 'endpoints', name: 'Endpoints', show: (s) => <Endpoints s={s} /> },
        { id: 'applies', name: 'What applies', show: (s) => <Effective applied={s.configuration} /> },
      ]}
    />
  );
}

/** Its own reasons, and what the response flags of its callers say. */
function why(s: ServiceDetail): Reason[] {
  const flags = s.peers.inbound.flatMap((p) => p.reasons ?? []).filter((r) => r.code.startsWith('flag:'));
  const first = flags.filter((r, at) => flags.findIndex((o) => o.code === r.code) === at);
  return s.reasons.length > 0 ? [...s.reasons, ...first] : [];
}

function Traffic({ s }: { s: ServiceDetail }) {
  const of = { destination_service_name: s.name, destination_service_namespace: s.namespace };
  return (
    <div class="grid grid-two">
      <Signals title="As its callers see it" labels={{ reporter: 'source', ...of }} />
      <Signals title="As it sees itself" labels={{ reporter: 'destination', ...of }} />
      <Peers title="Called by" peers={s.peers.inbound} name="sortIn" none="Nobody called it in this window." />
      <Peers title="Calls" peers={s.peers.outbound} name="sortOut" none="Its workloads called nobody in this window." />
      <Card title="Versions">
        {s.subsets.length === 0 ? (
          <p class="muted">It has no versions that are told apart.</p>
        ) : (
          <Table
            caption="Versions"
            rows={s.subsets}
            id={(v) => v.name}
            order="name"
            name="sortVersions"
            columns={[
              {
                id: 'name',
                name: 'Version',
                by: (v) => v.name,
                show: (v) => (
                  <>
                    {v.name} <span class="muted">{v.labels.join(', ')}</span>
                  </>
                ),
              },
              {
                id: 'share',
                name: 'Share',
                by: (v) => v.rate,
                show: (v) => (
                  <Share
                    value={s.rate ? (v.rate ?? 0) / s.rate : 0}
                    label={percent(s.rate ? (v.rate ?? 0) / s.rate : null)}
                  />
                ),
              },
              { id: 'rate', name: 'Requests', number: true, by: (v) => v.rate, show: (v) => rate(v.rate) },
              { id: 'errors', name: 'Failed', number: true, by: (v) => v.errorRate, show: (v) => percent(v.errorRate) },
              { id: 'p95', name: 'p95', number: true, by: (v) => v.p95, show: (v) => millis(v.p95) },
            ]}
          />
        )}
      </Card>
    </div>
  );
}

function Endpoints({ s }: { s: ServiceDetail }) {
  const sign: Record<string, Status> = { closed: 'ok', open: 'fail', 'half-open': 'warn', none: 'unknown' };
  const words: Record<string, string> = { closed: 'closed', open: 'ejected', 'half-open': 'on trial', none: 'none' };
  return (
    <Card title={`Endpoints: ${s.endpoints.healthy} of ${s.endpoints.total} take requests`} wide>
      {s.endpoints.list.length === 0 ? (
        <p class="muted">It has no endpoints: no pod matches its selector, or none is ready.</p>
      ) : (
        <Table
          caption="Endpoints"
          rows={s.endpoints.list}
          id={(e) => e.address}
          order="address"
          name="sortEndpoints"
          columns={[
            { id: 'address', name: 'Address', by: (e) => e.address, show: (e) => <code>{e.address}</code> },
            { id: 'workload', name: 'Workload', by: (e) => e.workload, show: (e) => <IdLink id={e.workload} /> },
            { id: 'pod', name: 'Pod', wide: true, by: (e) => e.pod, show: (e) => e.pod },
            {
              id: 'ready',
              name: 'Ready',
              by: (e) => String(e.ready),
              show: (e) => <Sign status={e.ready ? 'ok' : 'fail'} label={e.ready ? 'ready' : 'not ready'} />,
            },
            {
              id: 'breaker',
              name: 'Breaker',
              by: (e) => e.breaker,
              show: (e) => (
                <>
                  <Sign status={sign[e.breaker] ?? 'unknown'} label={words[e.breaker] ?? e.breaker} />
                  {e.ejectedBy.length > 0 && <div class="why-short">by {e.ejectedBy.join(', ')}</div>}
                </>
              ),
            },
            { id: 'rate', name: 'Requests', number: true, by: (e) => e.rate, show: (e) => rate(e.rate) },
            { id: 'errors', name: 'Failed', number: true, by: (e) => e.errors, show: (e) => rate(e.errors) },
            {
              id: 'connections',
              name: 'Connections',
              number: true,
              wide: true,
              by: (e) => e.connections,
              show: (e) => count(e.connections),
            },
            { id: 'zone', name: 'Zone', wide: true, by: (e) => e.zone, show: (e) => e.zone || '–' },
          ]}
        />
      )}
    </Card>
  );
}
