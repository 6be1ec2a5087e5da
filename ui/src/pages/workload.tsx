// One workload: what comes in, what it sends, its pods, and what its proxy does.

import { percent } from '../lib/format';
import { timing } from '../lib/live';
import { link, place } from '../lib/router';
import type { Ref } from '../lib/types';
import { useAsk } from '../lib/use';
import { Card, Figure } from '../parts/bits';
import { type Applied, Effective, GoldenFigures, Identity, type Peer, Peers, RefLink, Signals } from '../parts/detail';
import { DetailPage } from '../parts/detail-page';
import { Lock, Sign } from '../parts/sign';
import { Table } from '../parts/table';
import type { WorkloadRow } from './services';

interface Pod {
  name: string;
  ip: string;
  node: string;
  ready: boolean;
  injected: boolean;
  proxy: { synced: boolean; version: string } | null;
  principal: string | null;
}

interface Detail extends WorkloadRow {
  podsList: Pod[];
  peers: { inbound: Peer[]; outbound: Peer[] };
  configuration: Applied[];
  policies?: (Ref | { resource: Ref; action?: string })[];
  queries: Record<string, string>;
  commands: string[];
}

export function WorkloadPage() {
  const [, namespace = '', name = ''] = place.value.parts;
  const loaded = useAsk<Detail>(`workloads/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}?${timing()}`);
  const { data } = loaded;
  const id = `${namespace}/${name}`;
  return (
    <DetailPage
      kind="workload"
      namespace={namespace}
      name={name}
      sub={`${data?.kind ?? 'Workload'} in ${namespace}${data?.serviceAccount ? `, service account ${data.serviceAccount}` : ''}`}
      graph={{ focus: id, hops: 1, sel: id }}
      requests={{ destination: `${name}.${namespace}` }}
      loaded={loaded}
      figures={(w) => (
        <>
          <GoldenFigures g={w.inbound} />
          <Figure
            name="Pods ready"
            value={`${w.pods.ready}/${w.pods.total}`}
            note={w.pods.injected === 0 ? 'no sidecar' : `${w.pods.synced} of ${w.pods.injected} sidecars in sync`}
          />
          <Figure name="Encryption" value={<Lock share={w.inbound.mtls} text={percent(w.inbound.mtls)} />} />
        </>
      )}
      parts={[
        { id: 'traffic', name: 'Traffic', show: (w) => <Traffic w={w} /> },
        { id: 'pods', name: 'Pods', show: (w) => <Pods w={w} /> },
        { id: 'applies', name: 'What applies', show: (w) => <Applies w={w} /> },
      ]}
    />
  );
}

function Applies({ w }: { w: Detail }) {
  return (
    <>
      <Effective applied={w.configuration} />
      {w.policies && w.policies.length > 0 && (
        <Card title="Policies">
          <ul class="plain">
            {w.policies.map((p) => {
              const ref = 'resource' in p ? p.resource : p;
              return (
                <li key={ref.id}>
                  <RefLink resource={ref} />
                </li>
              );
            })}
          </ul>
        </Card>
      )}
    </>
  );
}

function Traffic({ w }: { w: Detail }) {
  return (
    <div class="grid grid-two">
      <Signals
        title="In"
        labels={{ reporter: 'destination', destination_workload: w.name, destination_workload_namespace: w.namespace }}
      />
      <Signals
        title="Out"
        labels={{ reporter: 'source', source_workload: w.name, source_workload_namespace: w.namespace }}
      />
      <Peers title="Called by" peers={w.peers.inbound} name="sortIn" none="Nobody called it in this window." />
      <Peers title="Calls" peers={w.peers.outbound} name="sortOut" none="It called nobody in this window." />
    </div>
  );
}

function Pods({ w }: { w: Detail }) {
  return (
    <Card title="Pods" wide>
      <Table
        caption="Pods"
        rows={w.podsList}
        id={(p) => p.name}
        order="name"
        name="sortPods"
        columns={[
          {
            id: 'name',
            name: 'Pod',
            by: (p) => p.name,
            show: (p) => <a href={link(['control', `${p.name}.${w.namespace}`])}>{p.name}</a>,
          },
          {
            id: 'ready',
            name: 'Ready',
            by: (p) => String(p.ready),
            show: (p) => <Sign status={p.ready ? 'ok' : 'fail'} label={p.ready ? 'ready' : 'not ready'} />,
          },
          {
            id: 'proxy',
            name: 'Sidecar',
            show: (p) =>
              p.injected ? (
                <Sign
                  status={p.proxy?.synced ? 'ok' : 'warn'}
                  label={p.proxy ? (p.proxy.synced ? 'in sync' : 'behind') : 'not connected'}
                />
              ) : (
                <Sign status="warn" label="none" />
              ),
          },
          { id: 'ip', name: 'Address', by: (p) => p.ip, show: (p) => <code>{p.ip}</code> },
          { id: 'version', name: 'Version', wide: true, show: (p) => p.proxy?.version ?? '–' },
          { id: 'who', name: 'Identity', wide: true, show: (p) => <Identity id={p.principal} /> },
        ]}
      />
    </Card>
  );
}
