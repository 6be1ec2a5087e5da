// The control plane and its proxies: who has what, who refuses what, and what exactly was sent.
import { Chart, chartSpan } from '../charts/chart';
import { bytes, count, digits, millis, moment, rate, span } from '../lib/format';
import { link, option, place } from '../lib/router';
import { useAsk } from '../lib/use';
import { Card, Figure, Filter, Tabs, Title } from '../parts/bits';
import { CopyMenu } from '../parts/copy';
import { IdLink } from '../parts/detail';
import { Dump } from '../parts/dump';
import { Sign, type Status } from '../parts/sign';
import { Note, Show } from '../parts/state';
import { type Column, Table } from '../parts/table';

type State = 'SYNCED' | 'STALE' | 'ERROR' | 'NOT SENT';

interface Proxy {
  id: string;
  pod: string;
  namespace: string;
  workload: string | null;
  kind: string;
  cluster: string;
  version: string;
  stockEnvoy: boolean;
  ip: string;
  connectedSince: number | null;
  types: Record<string, { state: State; refused: unknown[] }>;
  state: State;
  acknowledged: number | null;
  behind: number | null;
  lastPush: number | null;
  certificateExpires: number | null;
}

interface Proxies {
  time: number;
  proxies: Proxy[];
  unconnected: { pod: string; namespace: string; workload: string | null; reason: string }[];
}

interface Plane {
  version: string;
  uptime: number;
  ready: boolean;
  trustDomain: string;
  streams: number;
  storeVersion: number;
  pushes: Record<string, number>;
  rejects: Record<string, number>;
  /** Seconds, as the control plane's metrics have them. */
  pushTime: { p50: number | null; p99: number | null };
  convergence: { p50: number | null; p99: number | null };
  memoryBytes: number | null;
  cpuSeconds: number | null;
  telemetry: { series: number; memoryBytes: number; diskBytes: number; sources: number; lost: Record<string, number> };
  history: { resources: number; versions: number; bytes: number; dropped: number } | null;
  events: { clients: number; cut: number } | null;
  certificateAuthority: { issued: number; refused: number; rootExpires: number | null } | null;
}

const STATE: Record<State, Status> = { SYNCED: 'ok', STALE: 'warn', ERROR: 'fail', 'NOT SENT': 'idle' };
const WORDS: Record<State, string> = { SYNCED: 'in sync', STALE: 'behind', ERROR: 'refuses', 'NOT SENT': 'not sent' };
const TYPES = ['cds', 'lds', 'eds', 'rds'];

export function ControlPage() {
  const id = place.value.parts[1];
  const tab = option('tab', 'proxies');
  if (id) return <Dump id={id} />;
  return (
    <>
      <Title
        sub="What the control plane has sent, and what proxies made of it."
        actions={
          <CopyMenu
            items={[
              { name: 'Command', text: tab === 'proxies' ? 'tulle proxy-status' : 'tulle status' },
              {
                name: 'curl',
                text: `curl -s '${new URL(`./api/${tab === 'proxies' ? 'proxies' : 'control-plane'}`, document.baseURI)}'`,
              },
            ]}
          />
        }
      >
        {tab === 'proxies' ? 'Proxies' : 'Control plane'}
      </Title>
      <Tabs
        current={tab}
        href={(t) => link(['control'], { tab: t === 'proxies' ? '' : t })}
        tabs={[
          { id: 'proxies', name: 'Proxies' },
          { id: 'plane', name: 'Control plane' },
        ]}
      />
      {tab === 'proxies' ? <ProxyList /> : <ControlPlane />}
    </>
  );
}

const COLUMNS: Column<Proxy>[] = [
  {
    id: 'pod',
    name: 'Proxy',
    by: (p) => p.id,
    show: (p) => (
      <a href={link(['control', p.id])}>
        {p.pod} <span class="muted">{p.namespace}</span>
      </a>
    ),
  },
  {
    id: 'state',
    name: 'State',
    by: (p) => ['SYNCED', 'NOT SENT', 'STALE', 'ERROR'].indexOf(p.state),
    show: (p) => <Sign status={STATE[p.state] ?? 'unknown'} label={WORDS[p.state] ?? p.state} />,
  },
  ...TYPES.map(
    (type): Column<Proxy> => ({
      id: type,
      name: type.toUpperCase(),
      wide: true,
      by: (p) => p.types[type]?.state,
      show: (p) => {
        const state = p.types[type]?.state;
        return state ? (
          <Sign status={STATE[state] ?? 'unknown'} label={WORDS[state] ?? state} quiet={state === 'SYNCED'} />
        ) : (
          '–'
        );
      },
    }),
  ),
  {
    id: 'workload',
    name: 'Workload',
    wide: 'very',
    by: (p) => p.workload,
    show: (p) => (p.workload ? <IdLink id={p.workload} /> : '–'),
  },
  { id: 'kind', name: 'Kind', by: (p) => p.kind, show: (p) => `${p.kind}${p.stockEnvoy ? ' (Envoy)' : ''}` },
  { id: 'version', name: 'Version', wide: true, by: (p) => p.version, show: (p) => p.version },
  {
    id: 'pushed',
    name: 'Last push',
    wide: 'very',
    by: (p) => p.lastPush,
    show: (p) => (p.lastPush ? moment(p.lastPush) : '–'),
  },
  {
    id: 'certificate',
    name: 'Certificate',
    number: true,
    wide: true,
    by: (p) => p.certificateExpires,
    show: (p) => (p.certificateExpires ? span(p.certificateExpires - Date.now() / 1000) : '–'),
  },
];

function ProxyList() {
  const loaded = useAsk<Proxies>('proxies', 'proxies');
  return (
    <>
      <div class="toolbar">
        <Filter name="q" label="Filter by name" placeholder="Pod or namespace" />
      </div>
      <Show
        of={loaded}
        empty={(p) =>
          p.proxies.length + p.unconnected.length === 0 ? (
            <Note title="No proxy is connected.">
              Proxies connect by themselves when their pods start. Is anything running? tulle status says.
            </Note>
          ) : null
        }
      >
        {(p) => (
          <>
            <Table
              caption="Proxies"
              rows={p.proxies.filter((x) => x.id.includes(option('q')))}
              columns={COLUMNS}
              id={(x) => x.id}
              order="-state"
            />
            {p.unconnected.length > 0 && (
              <Card title="Pods without a connected proxy" wide>
                <Table
                  caption="Pods without a connected proxy"
                  rows={p.unconnected}
                  id={(x) => `${x.namespace}/${x.pod}`}
                  order="pod"
                  name="sortUnconnected"
                  columns={[
                    {
                      id: 'pod',
                      name: 'Pod',
                      by: (x) => x.pod,
                      show: (x) => (
                        <>
                          {x.pod} <span class="muted">{x.namespace}</span>
                        </>
                      ),
                    },
                    { id: 'reason', name: 'Why', show: (x) => x.reason },
                  ]}
                />
              </Card>
            )}
          </>
        )}
      </Show>
    </>
  );
}

function ControlPlane() {
  const loaded = useAsk<Plane>('control-plane', 'proxies');
  return (
    <Show of={loaded}>
      {(c) => {
        const lost = Object.values(c.telemetry.lost).reduce((a, b) => a + b, 0);
        const rejects = Object.values(c.rejects).reduce((a, b) => a + b, 0);
        return (
          <>
            <div class="figures">
              <Figure
                name="Ready"
                value={<Sign status={c.ready ? 'ok' : 'fail'} label={c.ready ? 'yes' : 'no'} />}
                note={`version ${c.version}, up for ${span(c.uptime)}`}
              />
              <Figure name="Streams" value={count(c.streams)} note="of proxies, open now" />
              <Figure
                name="Push to acknowledged"
                value={millis(c.convergence.p99 === null ? null : c.convergence.p99 * 1000)}
                note={`p99, p50 ${millis(c.convergence.p50 === null ? null : c.convergence.p50 * 1000)}`}
              />
              <Figure
                name="Refused"
                value={count(rejects)}
                tone={rejects > 0 ? 'bad' : ''}
                note="resources, since the start"
              />
              <Figure
                name="Memory"
                value={bytes(c.memoryBytes)}
                note={c.cpuSeconds == null ? '' : `${digits(c.cpuSeconds)} s of CPU`}
              />
              <Figure
                name="Series"
                value={count(c.telemetry.series)}
                note={`${bytes(c.telemetry.memoryBytes)} in memory, ${bytes(c.telemetry.diskBytes)} on disk`}
              />
              <Figure
                name="Lost telemetry"
                value={count(lost)}
                tone={lost > 0 ? 'warn' : ''}
                note="values, since the start"
              />
              <Figure
                name="Certificates issued"
                value={count(c.certificateAuthority?.issued)}
                note={`${count(c.certificateAuthority?.refused)} refused`}
              />
            </div>
            <div class="grid">
              <Card title="Pushes">
                <Chart
                  title="Pushes by type"
                  span={chartSpan()}
                  format={rate}
                  by="type"
                  lines={[{ name: 'pushes', query: 'sum by (type) (rate(pilot_xds_pushes[1m]))', tone: 'flow' }]}
                />
              </Card>
              <Card title="Convergence">
                <Chart
                  title="Change to acknowledged"
                  span={chartSpan()}
                  format={(v) => millis(v === null ? null : v * 1000)}
                  lines={[
                    {
                      name: 'p50',
                      query: 'histogram_quantile(0.5, sum by (le) (rate(pilot_proxy_convergence_time_bucket[5m])))',
                      tone: 'slow0',
                    },
                    {
                      name: 'p99',
                      query: 'histogram_quantile(0.99, sum by (le) (rate(pilot_proxy_convergence_time_bucket[5m])))',
                      tone: 'slow3',
                    },
                  ]}
                />
              </Card>
              {c.history && (
                <Card title="What is kept">
                  <dl class="facts">
                    <dt>Versions</dt>
                    <dd>
                      {count(c.history.versions)} of {count(c.history.resources)} resources, {bytes(c.history.bytes)}
                    </dd>
                    <dt>Store</dt>
                    <dd>version {count(c.storeVersion)}</dd>
                    <dt>Readers of events</dt>
                    <dd>{count(c.events?.clients)}</dd>
                  </dl>
                </Card>
              )}
            </div>
          </>
        );
      }}
    </Show>
  );
}
