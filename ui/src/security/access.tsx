// Who can call whom, as far as it follows from who calls: a table of all pairs, and each with its reason.
import { rate } from '../lib/format';
import { option, set } from '../lib/router';
import type { Ref } from '../lib/types';
import { useAsk } from '../lib/use';
import { Card, Choice, Filter } from '../parts/bits';
import { IdLink, RefLink } from '../parts/detail';
import { Sign, type Status } from '../parts/sign';
import { Note, Show } from '../parts/state';
import { Table } from '../parts/table';

interface Access {
  workloads: string[];
  rows: {
    from: string;
    to: string;
    verdict: 'allowed' | 'denied' | 'partly';
    why: string;
    resource: Ref | null;
    conditions: string[];
    observed: number | null;
  }[];
}

type Row = Access['rows'][number];

const VERDICT: Record<string, Status> = { allowed: 'ok', partly: 'warn', denied: 'fail' };

/** More would be no table that one can look at. */
const MOST = 40;

export function AccessBoard() {
  const to = option('to');
  const view = option('view', to ? 'list' : 'matrix');
  const loaded = useAsk<Access>(`security/access${to ? `?to=${encodeURIComponent(to)}` : ''}`, 'configuration');
  const q = option('q').toLowerCase();
  const many = (loaded.data?.workloads.length ?? 0) > MOST;
  return (
    <>
      <div class="toolbar">
        <Choice
          label="Form"
          name="access-view"
          value={view}
          options={[
            { id: 'matrix', name: 'Matrix' },
            { id: 'list', name: 'List with reasons' },
          ]}
          onPick={(id) => set({ view: id === 'matrix' && !to ? '' : id })}
        />
        <label class="field select">
          <span>To</span>
          <select value={to} onChange={(e) => set({ to: (e.target as HTMLSelectElement).value })}>
            <option value="">every workload</option>
            {loaded.data?.workloads.map((w) => (
              <option key={w} value={w}>
                {w}
              </option>
            ))}
          </select>
        </label>
        <Filter name="q" label="From" placeholder="From workload" />
      </div>
      <Show of={loaded} empty={({ rows }) => (rows.length === 0 ? <None many={many} /> : null)}>
        {({ rows }) => {
          const wanted = rows.filter((r) => r.from.toLowerCase().includes(q));
          return view === 'matrix' ? <Matrix rows={wanted} /> : <List rows={wanted} />;
        }}
      </Show>
    </>
  );
}

function None({ many }: { many: boolean }) {
  return many ? (
    <Note title="Choose whom it is about.">There are too many workloads to show all pairs at once.</Note>
  ) : (
    <Note title="There are no workloads that could call each other." />
  );
}

/** Callers in rows, the called in columns; the reason is a click away. */
function Matrix({ rows }: { rows: Row[] }) {
  const froms = [...new Set(rows.map((r) => r.from))].sort();
  const tos = [...new Set(rows.map((r) => r.to))].sort();
  const cells = new Map(rows.map((r) => [`${r.from} ${r.to}`, r]));
  const picked = cells.get(option('pair'));
  const short = (id: string) => id.split('/').pop() ?? id;
  return (
    <>
      <div class="table-box matrix" role="region" aria-label="Who can call whom" tabIndex={0}>
        <table>
          <caption class="hidden-text">Callers in rows, the called in columns</caption>
          <thead>
            <tr>
              <th scope="col">From</th>
              {tos.map((id) => (
                <th key={id} scope="col" title={id}>
                  {short(id)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {froms.map((from) => (
              <tr key={from}>
                <th scope="row">
                  <IdLink id={from} />
                </th>
                {tos.map((to) => (
                  <td key={to}>
                    <Cell row={cells.get(`${from} ${to}`)} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="muted">
        ● may, ▲ may under conditions, ◆ may not; with a ring: such calls were seen in this window. A cell tells why.
      </p>
      {picked && (
        <Card title={`${picked.from} to ${picked.to}`} wide>
          <Sign status={VERDICT[picked.verdict] ?? 'unknown'} label={picked.verdict} />
          <p>
            {picked.why} {picked.resource && <RefLink resource={picked.resource} />}
          </p>
          {picked.conditions.length > 0 && <p class="muted">only {picked.conditions.join(', ')}</p>}
          <p class="muted">
            {(picked.observed ?? 0) > 0
              ? `${rate(picked.observed)} seen in this window`
              : 'no calls seen in this window'}
          </p>
        </Card>
      )}
    </>
  );
}

function Cell({ row }: { row: Row | undefined }) {
  if (!row) return <span class="muted">–</span>;
  const id = `${row.from} ${row.to}`;
  const seen = (row.observed ?? 0) > 0;
  return (
    <button
      type="button"
      class={`cell${seen ? ' cell-seen' : ''}`}
      aria-pressed={option('pair') === id}
      title={`${row.verdict}: ${row.why}`}
      onClick={() => set({ pair: option('pair') === id ? '' : id })}
    >
      <Sign status={VERDICT[row.verdict] ?? 'unknown'} label={`${row.verdict}${seen ? ', seen' : ''}`} quiet />
    </button>
  );
}

function List({ rows }: { rows: Row[] }) {
  return (
    <Table
      caption="Who can call whom"
      rows={rows}
      id={(r) => `${r.from} ${r.to}`}
      order="to"
      columns={[
        { id: 'from', name: 'From', by: (r) => r.from, show: (r) => <IdLink id={r.from} /> },
        { id: 'to', name: 'To', by: (r) => r.to, show: (r) => <IdLink id={r.to} /> },
        {
          id: 'verdict',
          name: 'Verdict',
          by: (r) => r.verdict,
          show: (r) => <Sign status={VERDICT[r.verdict] ?? 'unknown'} label={r.verdict} />,
        },
        {
          id: 'why',
          name: 'Why',
          long: true,
          show: (r) => (
            <span class="break">
              {r.why} {r.conditions.length > 0 && <span class="muted">only {r.conditions.join(', ')}</span>}
            </span>
          ),
        },
        {
          id: 'observed',
          name: 'Seen',
          number: true,
          by: (r) => r.observed,
          show: (r) => ((r.observed ?? 0) > 0 ? rate(r.observed) : '–'),
        },
      ]}
    />
  );
}
