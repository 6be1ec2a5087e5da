// Configuration: what there is, what is wrong with it, whether it is in force; and changing it with a look at what that does first.
import { useEffect, useState } from 'preact/hooks';
import { ask, Failed, session } from '../lib/api';
import { count, moment } from '../lib/format';
import { go, link, option, place, set } from '../lib/router';
import type { Ref } from '../lib/types';
import { useAsk } from '../lib/use';
import { Card, Filter, Select, Tabs, Title } from '../parts/bits';
import { CopyMenu } from '../parts/copy';
import { Diff } from '../parts/diff';
import { Editor } from '../parts/editor';
import { Sign, type Status } from '../parts/sign';
import { Note, Show } from '../parts/state';
import { type Column, Table } from '../parts/table';
import type { Change } from './home';

interface Programmed {
  state: 'programmed' | 'pending' | 'refused' | 'idle' | 'unknown';
  have: number;
  of: number;
}

interface Row extends Ref {
  state: 'valid' | 'warning' | 'error';
  programmed: Programmed;
  messages: number;
  versions: number;
  changed: number | null;
  who: string;
  generation: number;
}

interface Kind {
  kind: string;
  group: string;
  plural: string;
  namespaced: boolean;
  count: number;
  writable: boolean;
}

interface Finding {
  severity: 'error' | 'warning' | 'info';
  code: string | null;
  resource: Ref | null;
  field: string;
  message: string;
  fix: string | null;
  line: number | null;
  column: number | null;
}

interface Version {
  version: number;
  time: number;
  who: string;
  how: string;
  operation: string;
  source: string;
  summary: string;
}

interface Detail extends Ref {
  yaml: string;
  resourceVersion: string;
  state: Row['state'];
  conditions: { type: string; status: string; reason: string; message: string; lastTransitionTime: string }[];
  diagnostics: Finding[];
  programmed: Programmed & { proxies: { id: string; state: 'has' | 'waits' | 'refuses'; message: string }[] };
  versions: Version[];
  writable: boolean;
}

const STATE: Record<string, Status> = {
  valid: 'ok',
  warning: 'warn',
  error: 'fail',
  programmed: 'ok',
  pending: 'warn',
  refused: 'fail',
  idle: 'idle',
  unknown: 'unknown',
};

export function ConfigPage() {
  const id = place.value.parts.slice(1);
  if (id[0] === 'new') return <Fresh />;
  return id.length > 0 ? <One id={id.join('/')} /> : <All />;
}

function force(p: Programmed): string {
  return p.state === 'idle'
    ? 'concerns no proxy'
    : p.state === 'unknown'
      ? 'not known'
      : `${p.have} of ${p.of} proxies`;
}

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

function All() {
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
                { name: 'Command', text: 'tulle get virtualservices,destinationrules,gateways -A' },
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
  const loaded = useAsk<{ changes: Change[] }>('overview', 'configuration');
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
                <a href={link(['config', ...c.resource.id.split('/')], { tab: 'history' })}>
                  {c.resource.kind} {c.resource.namespace}/{c.resource.name}
                </a>
              ),
            },
            { id: 'operation', name: 'What', by: (c) => c.operation, show: (c) => c.operation },
            { id: 'who', name: 'By', by: (c) => c.who, show: (c) => c.who || c.source },
            { id: 'summary', name: 'Change', show: (c) => <span class="break">{c.summary}</span> },
          ]}
        />
      )}
    </Show>
  );
}

function One({ id }: { id: string }) {
  const path = `resources/${id.split('/').map(encodeURIComponent).join('/')}`;
  const loaded = useAsk<Detail>(path, 'configuration');
  const tab = option('tab', 'yaml');
  const [kind = '', namespace = '', name = ''] = id.split('/');
  return (
    <>
      <Title
        sub={`${kind.split('.')[0]}${namespace === '-' ? '' : ` in ${namespace}`}`}
        actions={
          <CopyMenu
            items={[
              {
                name: 'Command',
                text: `tulle get ${kind.split('.')[0]!.toLowerCase()} ${name}${namespace === '-' ? '' : ` -n ${namespace}`} -o yaml`,
              },
              { name: 'YAML', text: loaded.data?.yaml ?? '' },
            ]}
          />
        }
      >
        {name}
      </Title>
      <Tabs
        current={tab}
        href={(t) => link(['config', ...id.split('/')], { tab: t === 'yaml' ? '' : t })}
        tabs={[
          { id: 'yaml', name: 'YAML' },
          { id: 'force', name: loaded.data ? `In force: ${force(loaded.data.programmed)}` : 'In force' },
          { id: 'history', name: `History${loaded.data ? ` (${loaded.data.versions.length})` : ''}` },
        ]}
      />
      <Show of={loaded}>
        {(r) => (
          <>
            {tab === 'yaml' && <Edit key={id} resource={r} path={path} again={loaded.again} />}
            {tab === 'force' && <InForce r={r} />}
            {tab === 'history' && <Versions r={r} path={path} again={loaded.again} />}
          </>
        )}
      </Show>
    </>
  );
}

const FRESH = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: example
  namespace: default
spec:
  hosts:
    - reviews
  http:
    - route:
        - destination:
            host: reviews
`;

function Fresh() {
  return (
    <>
      <Title sub="One or several documents; they are checked against the mesh as you type, and applied all or none.">
        Apply YAML
      </Title>
      <Edit resource={null} path="resources" again={() => undefined} />
    </>
  );
}

/** The text, with findings as one types; then what it would change; then applying it. */
function Edit({ resource, path, again }: { resource: Detail | null; path: string; again: () => void }) {
  const [text, put] = useState(resource?.yaml ?? FRESH);
  const [base, rebase] = useState({ yaml: resource?.yaml ?? '', version: resource?.resourceVersion ?? '' });
  const [found, find] = useState<Finding[]>(resource?.diagnostics ?? []);
  const [checked, check] = useState<'' | 'busy' | 'done' | 'failed'>('');
  const [said, say] = useState<{ bad: boolean; text: string } | null>(null);
  const [diff, compare] = useState<string | null>(null);
  const changed = text !== base.yaml;
  const theirs = resource && resource.resourceVersion !== base.version;
  // What others change comes in by itself as long as nothing here would be lost.
  useEffect(() => {
    if (!resource || !theirs || changed) return;
    put(resource.yaml);
    rebase({ yaml: resource.yaml, version: resource.resourceVersion });
    find(resource.diagnostics);
  }, [resource, theirs, changed]);
  useEffect(() => {
    if (!changed && resource) {
      find(resource.diagnostics);
      return;
    }
    check('busy');
    const control = new AbortController();
    const timer = setTimeout(() => {
      ask<{ diagnostics: Finding[] }>('validate', {
        method: 'POST',
        type: 'application/yaml',
        body: text,
        signal: control.signal,
      }).then(
        ({ diagnostics }) => {
          find(diagnostics);
          check('done');
        },
        (error: unknown) => {
          if (error instanceof DOMException) return;
          const more =
            error instanceof Failed ? (error.body as { diagnostics?: Finding[] } | null)?.diagnostics : undefined;
          if (more) find(more);
          check(more ? 'done' : 'failed');
          if (!more) say({ bad: true, text: told(error) });
        },
      );
    }, 350);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [text, changed, resource]);
  const show = async () => {
    try {
      const answer = await ask<{ unified: string }>('diff', { method: 'POST', type: 'application/yaml', body: text });
      compare(answer.unified || 'It changes nothing.');
    } catch (error) {
      say({ bad: true, text: told(error) });
    }
  };
  const apply = async (dry: boolean) => {
    say(null);
    try {
      const query = [dry ? 'dryRun=1' : '', resource ? `resourceVersion=${encodeURIComponent(base.version)}` : '']
        .filter(Boolean)
        .join('&');
      const answer = await ask<{
        applied: { resource: Ref; operation: string; resourceVersion: string }[];
        diagnostics: Finding[];
      }>(`${path}${query ? `?${query}` : ''}`, {
        method: 'PUT',
        type: 'application/yaml',
        body: text,
      });
      if (answer.diagnostics.length > 0) find(answer.diagnostics);
      const words = answer.applied.map((a) => `${a.resource.kind} ${a.resource.name}: ${a.operation}`).join(', ');
      say({ bad: false, text: dry ? `Would be accepted. ${words}` : `Applied. ${words}` });
      if (dry) return;
      compare(null);
      rebase({ yaml: text, version: answer.applied[0]?.resourceVersion ?? base.version });
      const [first] = answer.applied;
      if (!resource && first) go(link(['config', ...first.resource.id.split('/')], { tab: 'force' }));
      else again();
    } catch (error) {
      const more =
        error instanceof Failed ? (error.body as { diagnostics?: Finding[] } | null)?.diagnostics : undefined;
      if (more) find(more);
      say({ bad: true, text: told(error) });
    }
  };
  const writable = (resource?.writable ?? true) && (session.value?.canWrite ?? false);
  return (
    <div class="edit">
      {theirs && changed && (
        <p class="stale" role="status">
          It has been changed by someone else meanwhile.{' '}
          <button
            type="button"
            class="link"
            onClick={() => {
              put(resource.yaml);
              rebase({ yaml: resource.yaml, version: resource.resourceVersion });
            }}
          >
            Take theirs
          </button>
        </p>
      )}
      <Editor
        label="YAML"
        text={text}
        revision={base.version}
        marks={found}
        onChange={put}
        readOnly={resource !== null && !resource.writable}
      />
      <div class="edit-bar">
        <span class="muted" role="status">
          {checked === 'busy'
            ? 'checking'
            : found.length === 0
              ? 'no findings'
              : `${found.length} ${found.length === 1 ? 'finding' : 'findings'}`}
        </span>
        <span class="grow" />
        <button type="button" class="button" disabled={!changed} onClick={show}>
          Show the difference
        </button>
        <button type="button" class="button" disabled={!changed || !writable} onClick={() => apply(true)}>
          Try
        </button>
        <button type="button" class="button primary" disabled={!changed || !writable} onClick={() => apply(false)}>
          Apply
        </button>
      </div>
      {!writable && (
        <p class="muted">
          {resource && !resource.writable ? (
            'This resource comes from a file or from the mesh itself, and is not changed here.'
          ) : session.value?.readOnly ? (
            'This dashboard is for reading only.'
          ) : (
            <>
              To change it, <a href="#/login">log in</a>.
            </>
          )}
        </p>
      )}
      {said && (
        <p role={said.bad ? 'alert' : 'status'} class={said.bad ? 'tone-bad' : 'tone-good'}>
          {said.text}
        </p>
      )}
      {diff !== null && (
        <Card title="What would change">
          <Diff unified={diff} />
        </Card>
      )}
      <Findings found={found} />
    </div>
  );
}

function told(error: unknown): string {
  if (!(error instanceof Failed)) return String(error);
  const { message, fix, status } = error.problem;
  return `${message}${fix ? ` ${fix}` : ''}${status === 409 ? ' Load it anew, or take theirs.' : ''}`;
}

function Findings({ found }: { found: Finding[] }) {
  if (found.length === 0) return null;
  return (
    <ul class="findings" aria-label="Findings">
      {found.map((f) => (
        <li key={`${f.code}${f.field}${f.message}`}>
          <Sign
            status={f.severity === 'error' ? 'fail' : f.severity === 'warning' ? 'warn' : 'unknown'}
            label={f.severity}
          />
          <span>
            {f.line && <span class="muted">line {f.line}: </span>}
            {f.field && <code>{f.field}</code>} {f.message} {f.fix && <span class="muted">{f.fix}</span>}{' '}
            {f.code && <span class="tag">{f.code}</span>}
          </span>
        </li>
      ))}
    </ul>
  );
}

function InForce({ r }: { r: Detail }) {
  const proxies: Record<string, Status> = { has: 'ok', waits: 'warn', refuses: 'fail' };
  return (
    <div class="grid">
      <Card title={`In force: ${force(r.programmed)}`}>
        {r.programmed.proxies.length === 0 ? (
          <p class="muted">No connected proxy needs it.</p>
        ) : (
          <Table
            caption="Proxies that need it"
            rows={r.programmed.proxies}
            id={(p) => p.id}
            order="state"
            name="sortProxies"
            columns={[
              { id: 'id', name: 'Proxy', by: (p) => p.id, show: (p) => <a href={link(['control', p.id])}>{p.id}</a> },
              {
                id: 'state',
                name: 'State',
                by: (p) => ['refuses', 'waits', 'has'].indexOf(p.state),
                show: (p) => (
                  <>
                    <Sign
                      status={proxies[p.state] ?? 'unknown'}
                      label={p.state === 'has' ? 'has it' : p.state === 'waits' ? 'waits for it' : 'refuses it'}
                    />
                    {p.message && <div class="why-short break">{p.message}</div>}
                  </>
                ),
              },
            ]}
          />
        )}
      </Card>
      <Card title="Conditions">
        {r.conditions.length === 0 ? (
          <p class="muted">None has been written.</p>
        ) : (
          <ul class="plain">
            {r.conditions.map((c) => (
              <li key={c.type}>
                <b>{c.type}</b> {c.status} <span class="muted">{c.reason}</span>
                <div class="break">{c.message}</div>
              </li>
            ))}
          </ul>
        )}
      </Card>
      <Card title="Findings">
        {r.diagnostics.length === 0 ? (
          <p class="muted">Nothing is wrong with it.</p>
        ) : (
          <Findings found={r.diagnostics} />
        )}
      </Card>
    </div>
  );
}

function Versions({ r, path, again }: { r: Detail; path: string; again: () => void }) {
  const newest = r.versions[0]?.version ?? 0;
  const shown = Number(option('version', String(newest)));
  const diff = useAsk<{ unified: string }>(
    shown > 1 ? `diff?resource=${encodeURIComponent(r.id)}&from=${shown - 1}&to=${shown}` : null,
    'configuration',
  );
  const [said, say] = useState<{ bad: boolean; text: string } | null>(null);
  const revert = async (version: number) => {
    try {
      await ask(`${path}/revert?version=${version}`, { method: 'POST' });
      say({ bad: false, text: `It is as in version ${version} again.` });
      again();
    } catch (error) {
      say({ bad: true, text: told(error) });
    }
  };
  const canWrite = r.writable && (session.value?.canWrite ?? false);
  if (r.versions.length === 0)
    return <Note title="No versions are kept of it.">It is as old as this control plane.</Note>;
  return (
    <div class="grid">
      <Card title="Versions">
        <ol class="versions">
          {r.versions.map((v) => (
            <li key={v.version} class={v.version === shown ? 'selected' : ''}>
              <button
                type="button"
                class="link"
                aria-pressed={v.version === shown}
                onClick={() => set({ version: v.version })}
              >
                <b>{v.version}</b> {moment(v.time)}
              </button>
              <span class="muted">
                {v.operation} by {v.who || v.source}
              </span>
              <span class="break">{v.summary}</span>
              {v.version !== newest && (
                <button type="button" class="button" disabled={!canWrite} onClick={() => revert(v.version)}>
                  Go back to it
                </button>
              )}
            </li>
          ))}
        </ol>
        {said && (
          <p role={said.bad ? 'alert' : 'status'} class={said.bad ? 'tone-bad' : 'tone-good'}>
            {said.text}
          </p>
        )}
        {!canWrite && (
          <p class="muted">
            Going back needs a <a href="#/login">login</a>.
          </p>
        )}
      </Card>
      <Card title={shown > 1 ? `Version ${shown - 1} to ${shown}` : `Version ${shown}`}>
        {shown > 1 ? (
          <Show of={diff}>{(d) => <Diff unified={d.unified || 'It changed nothing.'} />}</Show>
        ) : (
          <p class="muted">The first version that is kept: nothing to compare with.</p>
        )}
      </Card>
    </div>
  );
}
