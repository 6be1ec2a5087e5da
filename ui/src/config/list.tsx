// All resources, and what was changed of them lately.
import { type Change, named } from '../lib/changes';
import { count, moment } from '../lib/format';
import { link, option } from '../lib/router';
import { useAsk } from '../lib/use';
import { Filter, Select, Tabs, Title } from '../parts/bits';
import { CopyMenu } from '../parts/copy';
import { Sign } from '../parts/sign';
import { Note, Show } from '../parts/state';
import { type Column, Table } from '../parts/table';
import { force, type Kind, type Row, STATE } from './types';

const COLUMNS: Column<Row>[] = [
  {
    id: 'name',
    name: 'Resource',
    by: (r) => `${r.kind} ${r.namespace} ${r.name}`,
    show: (r) => (
      <a href={link(['config', ...r.id.split('/')])}>
        {r.name} <span class="muted">{r.namespace === '-' ? '' : r.namespace}</span>
      </a>
    ),
  },
  { id: 'kind', name: 'Kind', by: (r) => r.kind, show: (r) => r.kind },
  {
    id: 'state',
    name: 'State',
    by: (r) => ['valid', 'warning', 'error'].indexOf(r.state),
    show: (r) => (
      <Sign
        status={STATE[r.state] ?? 'unknown'}
        label={r.messages > 0 ? `${r.state}: ${r.messages} ${r.messages === 1 ? 'message' : 'messages'}` : r.state}
      />
    ),
  },
  {
    id: 'force',
    name: 'In force on',
    by: (r) => r.programmed.of - r.programmed.have,
    show: (r) => <Sign status={STATE[r.programmed.state] ?? 'unknown'} label={force(r.programmed)} />,
  },
  {
    id: 'changed',
    name: 'Changed',
    wide: true,
    by: (r) => r.changed,
    show: (r) => (r.changed ? moment(r.changed) : '–'),
  },
  { id: 'who', name: 'By', wide: true, by: (r) => r.who, show: (r) => r.who || '–' },
  { id: 'versions', name: 'Versions', number: true, wide: true, by: (r) => r.versions, show: (r) => count(r.versions) },
];

export function All() {
  const tab = option('tab', 'resources');
  const loaded = useAsk<{ resources: Row[]; kinds: Kind[] }>('resources', 'configuration');
  return (
    <>
      <Title
        sub="Istio's and Kubernetes' own resources; what is edited here is what kubectl sees."
        actions={
          <>
            <a class="button primary" href={link(['config', 'new'])}>
              Apply YAML
            </a>
            <CopyMenu
              items={[
                {
                  name: 'Command',
                  text: `tulle get ${option('kind', 'VirtualService').split('.')[0]!.toLowerCase()} -A`,
                },
                { name: 'Command: what is wrong', text: 'tulle analyze --live' },
              ]}
            />
          </>
        }
      >
        Configuration
      </Title>
      <Tabs
        current={tab}
        href={(id) => link(['config'], { tab: id === 'resources' ? '' : id })}
        tabs={[
          { id: 'resources', name: 'Resources' },
          { id: 'history', name: 'History' },
        ]}
      />
      {tab === 'history' ? (
        <History />
      ) : (
        <>
          <div class="toolbar">
            <Filter name="q" label="Filter by name" placeholder="Name or namespace" />
            <Select
              name="kind"
              label="Kind"
              options={[
                { id: '', name: 'all' },
                ...(loaded.data?.kinds ?? [])
                  .filter((k) => k.count > 0)
                  .map((k) => ({ id: k.kind, name: `${k.kind} (${k.count})` })),
              ]}
            />
            <Select
              name="state"
              label="State"
              options={['', 'error', 'warning', 'valid'].map((id) => ({ id, name: id || 'any' }))}
            />
          </div>
          <Show
            of={loaded}
            empty={({ resources }) =>
              resources.length === 0 ? (
                <Note title="There is no configuration yet.">
                  Apply a VirtualService, a DestinationRule or a policy with “Apply YAML”, tulle apply -f FILE or
                  kubectl.
                </Note>
              ) : null
            }
          >
            {({ resources }) => {
              const q = option('q').toLowerCase();
              const rows = resources.filter(
                (r) =>
                  (!q || `${r.namespace}/${r.name}`.toLowerCase().includes(q)) &&
                  (!option('kind') || r.kind === option('kind')) &&
                  (!option('state') || r.state === option('state')),
              );
              return rows.length > 0 ? (
                <Table caption="Resources" rows={rows} columns={COLUMNS} id={(r) => r.id} order="-state" />
              ) : (
                <Note title="No resource passes these filters.">{count(resources.length)} do not.</Note>
              );
            }}
          </Show>
        </>
      )}
    </>
  );
}

function History() {
  const loaded = useAsk<{ changes: Change[] }>('changes?since=0', 'configuration');
  return (
    <Show
      of={loaded}
      empty={({ changes }) =>
        changes.length === 0 ? (
          <Note title="Nothing has changed since this control plane began to keep a history." />
        ) : null
      }
    >
      {({ changes }) => (
        <Table
          caption="Changes, newest first"
          rows={changes}
          id={(c) => `${c.resource.id} ${c.version} ${c.time}`}
          order="-time"
          columns={[
            { id: 'time', name: 'When', by: (c) => c.time, show: (c) => moment(c.time) },
            {
              id: 'resource',
              name: 'Resource',
              by: (c) => c.resource.id,
              show: (c) => (
                <a href={link(['config', ...c.resource.id.split('/')], { tab: 'history' })}>{named(c.resource)}</a>
              ),
            },
            { id: 'operation', name: 'What', by: (c) => c.operation, show: (c) => c.operation },
            { id: 'who', name: 'By', by: (c) => c.who, show: (c) => c.who || c.source },
            { id: 'summary', name: 'Change', long: true, show: (c) => <span class="break">{c.summary || '–'}</span> },
            {
              id: 'compare',
              name: 'Graph',
              wide: true,
              show: (c) => <a href={link(['graph'], { vs: Math.floor(c.time) - 1 })}>compare</a>,
            },
          ]}
        />
      )}
    </Show>
  );
}
