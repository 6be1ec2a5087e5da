// One workload: what comes in, what it sends, its pods, and what its proxy does.

import { percent } from '../lib/format';
import { timing } from '../lib/live';
import { link, option, place } from '../lib/router';
import type { Ref } from '../lib/types';
import { useAsk } from '../lib/use';
import { Card, Figure, Tabs, Title } from '../parts/bits';
import { CopyMenu } from '../parts/copy';
import { type Applied, Effective, GoldenFigures, type Peer, Peers, RefLink, Signals } from '../parts/detail';
import { Lock, Sign } from '../parts/sign';
import { Show } from '../parts/state';
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
  const tab = option('tab', 'traffic');
  const { data } = loaded;
  return (
    <>
      <Title
        sub={`${data?.kind ?? 'Workload'} in ${namespace}${data?.serviceAccount ? `, service account ${data.serviceAccount}` : ''}`}
        actions={
          <>
            <a
              class="button"
              href={link(['graph'], { focus: `${namespace}/${name}`, hops: 1, sel: `${namespace}/${name}` })}
            >
              In the graph
            </a>
            <a class="button" href={link(['requests'], { destination: `${name}.${namespace}` })}>
              Live requests
            </a>
            <CopyMenu
              items={[
                ...(data?.commands ?? []).map((text) => ({ name: 'Command', text })),
                ...Object.entries(data?.queries ?? {}).map(([id, text]) => ({ name: `PromQL: ${id}`, text })),
              ]}
            />
          </>
        }
      >
        {name}
      </Title>
      <Tabs
        current={tab}
        href={(id) => link(['workload', namespace, name], { tab: id === 'traffic' ? '' : id })}
        tabs={[
          { id: 'traffic', name: 'Traffic' },
          { id: 'pods', name: 'Pods' },
          { id: 'applies', name: 'What applies' },
        ]}
      />
      <Show of={loaded}>
        {(w) => (
          <>
            <div class="figures">
              <Figure name="Health" value={<Sign status={w.health} />} note={w.reasons.map((r) => r.text).join('. ')} />
              <GoldenFigures g={w.inbound} />
              <Figure
                name="Pods ready"
                value={`${w.pods.ready}/${w.pods.total}`}
                note={w.pods.injected === 0 ? 'no sidecar' : `${w.pods.synced} of ${w.pods.injected} sidecars in sync`}
              />
              <Figure name="Encryption" value={<Lock share={w.inbound.mtls} text={percent(w.inbound.mtls)} />} />
            </div>
            {tab === 'traffic' && <Traffic w={w} />}
            {tab === 'pods' && <Pods w={w} />}
            {tab === 'applies' && (
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
            )}
          </>
        )}
      </Show>
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
          { id: 'who', name: 'Identity', wide: true, show: (p) => <span class="break">{p.principal ?? '–'}</span> },
        ]}
      />
    </Card>
  );
}
