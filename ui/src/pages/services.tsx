// All services, and all workloads.
import { count, millis, percent, rate } from '../lib/format';
import { timing } from '../lib/live';
import { link, option } from '../lib/router';
import type { Golden, Health, Reason } from '../lib/types';
import { useAsk } from '../lib/use';
import { Filter, Tabs, Title } from '../parts/bits';
import { CopyMenu } from '../parts/copy';
import { type ServiceRow, ServiceTable } from '../parts/services';
import { Sign } from '../parts/sign';
import { Note, Show } from '../parts/state';
import { type Column, Table } from '../parts/table';

export interface WorkloadRow {
  id: string;
  namespace: string;
  name: string;
  kind: string;
  app: string;
  version: string;
  serviceAccount: string;
  pods: { total: number; ready: number; injected: number; synced: number };
  services: string[];
  health: Health;
  reasons: Reason[];
  inbound: Golden;
  outbound: Golden;
  badges: string[];
}

export function ServicesPage() {
  const tab = option('tab', 'services');
  return (
    <>
      <Title
        sub="Figures are those of the callers, so that what never arrived counts."
        actions={
          <CopyMenu
            items={[
              { name: 'Command', text: tab === 'services' ? 'tulle top' : 'tulle status' },
              { name: 'curl', text: `curl -s '${new URL(`./api/${tab}?${timing()}`, document.baseURI)}'` },
            ]}
          />
        }
      >
        {tab === 'services' ? 'Services' : 'Workloads'}
      </Title>
      <Tabs
        current={tab}
        href={(id) => link(['services'], { tab: id === 'services' ? '' : id })}
        tabs={[
          { id: 'services', name: 'Services' },
          { id: 'workloads', name: 'Workloads' },
        ]}
      />
      <div class="toolbar">
        <Filter name="q" label="Filter by name or namespace" placeholder="Name or namespace" />
      </div>
      {tab === 'services' ? <Services /> : <Workloads />}
    </>
  );
}

function wanted(row: { id: string }): boolean {
  return row.id.toLowerCase().includes(option('q').toLowerCase());
}

function Services() {
  const loaded = useAsk<{ services: ServiceRow[] }>(`services?${timing()}`);
  return (
    <Show of={loaded} empty={({ services }) => nothing('services', services)}>
      {({ services }) => <ServiceTable rows={services.filter(wanted)} order="-health" />}
    </Show>
  );
}

function nothing(what: string, rows: { id: string }[]) {
  if (rows.length === 0) {
    return (
      <Note title={`There are no ${what} yet.`}>
        Apply a manifest, for example with tulle apply -f FILE, or start with tulle up --demo bookinfo.
      </Note>
    );
  }
  return rows.some(wanted) ? null : (
    <Note title={`No ${what} are called like “${option('q')}”.`}>There are {rows.length} of other names.</Note>
  );
}

const COLUMNS: Column<WorkloadRow>[] = [
  {
    id: 'name',
    name: 'Workload',
    by: (r) => r.id,
    show: (r) => (
      <a href={link(['workload', r.namespace, r.name])}>
        {r.name} <span class="muted">{r.namespace}</span>
      </a>
    ),
  },
  {
    id: 'health',
    name: 'Health',
    by: (r) => ['idle', 'healthy', 'degraded', 'failing'].indexOf(r.health),
    show: (r) => <Sign status={r.health} />,
  },
  {
    id: 'rate',
    name: 'In',
    about: 'Requests that came',
    number: true,
    by: (r) => r.inbound.rate,
    show: (r) => rate(r.inbound.rate),
  },
  {
    id: 'errors',
    name: 'Failed',
    number: true,
    by: (r) => r.inbound.errorRate,
    show: (r) => percent(r.inbound.errorRate),
  },
  { id: 'p95', name: 'p95', number: true, by: (r) => r.inbound.p95, show: (r) => millis(r.inbound.p95) },
  {
    id: 'out',
    name: 'Out',
    about: 'Requests that it sent',
    number: true,
    wide: true,
    by: (r) => r.outbound.rate,
    show: (r) => rate(r.outbound.rate),
  },
  {
    id: 'outErrors',
    name: 'Out failed',
    number: true,
    wide: true,
    by: (r) => r.outbound.errorRate,
    show: (r) => percent(r.outbound.errorRate),
  },
  {
    id: 'pods',
    name: 'Pods',
    number: true,
    wide: true,
    by: (r) => r.pods.ready,
    show: (r) => `${r.pods.ready}/${r.pods.total}`,
  },
  {
    id: 'mesh',
    name: 'Sidecars',
    number: true,
    wide: true,
    by: (r) => r.pods.synced,
    show: (r) =>
      r.pods.injected === 0 ? (
        <Sign status="warn" label="none" />
      ) : (
        `${count(r.pods.synced)}/${r.pods.injected} in sync`
      ),
  },
  { id: 'account', name: 'Service account', wide: true, by: (r) => r.serviceAccount, show: (r) => r.serviceAccount },
];

function Workloads() {
  const loaded = useAsk<{ workloads: WorkloadRow[] }>(`workloads?${timing()}`);
  return (
    <Show of={loaded} empty={({ workloads }) => nothing('workloads', workloads)}>
      {({ workloads }) => (
        <Table caption="Workloads" rows={workloads.filter(wanted)} columns={COLUMNS} id={(r) => r.id} order="-health" />
      )}
    </Show>
  );
}
