// The same requests by kind, busiest first, as they come.
import { count, millis, percent } from '../lib/format';
import { link } from '../lib/router';
import { flagWords } from '../lib/words';
import { Sign } from '../parts/sign';
import { Note } from '../parts/state';
import { type Column, Table } from '../parts/table';
import { type Kind, kinds } from './by-kind';
import type { Request } from './record';

const COLUMNS: Column<Kind>[] = [
  {
    id: 'request',
    name: 'Request',
    long: true,
    by: (k) => k.path,
    show: (k) => (
      <a
        class="break"
        href={link(['requests'], {
          method: k.method,
          path: k.prefix,
          source: k.source === 'unknown' ? '' : k.source,
        })}
      >
        <b>{k.method}</b> {k.path}
      </a>
    ),
  },
  { id: 'from', name: 'From', by: (k) => k.source, show: (k) => k.source },
  {
    id: 'to',
    name: 'To',
    long: true,
    by: (k) => k.destination,
    show: (k) => <span class="break">{k.destination}</span>,
  },
  { id: 'count', name: 'Recorded', number: true, by: (k) => k.count, show: (k) => count(k.count) },
  {
    id: 'failed',
    name: 'Failed',
    by: (k) => k.failed / k.count,
    show: (k) => (
      <>
        <Sign
          status={k.failed === 0 ? 'ok' : k.failed === k.count ? 'fail' : 'warn'}
          label={k.failed === 0 ? 'none' : `${count(k.failed)}, ${percent(k.failed / k.count)}`}
        />
        {k.flags.map((f) => (
          <span key={f} class="flag" title={flagWords(f)}>
            {f}
          </span>
        ))}
      </>
    ),
  },
  { id: 'best', name: 'Best', number: true, wide: 'very', by: (k) => k.best, show: (k) => millis(k.best) },
  { id: 'median', name: 'Median', number: true, by: (k) => k.median, show: (k) => millis(k.median) },
  { id: 'worst', name: 'Worst', number: true, by: (k) => k.worst, show: (k) => millis(k.worst) },
  {
    id: 'last',
    name: 'Last',
    wide: true,
    by: (k) => k.last,
    show: (k) => <span class="mono">{new Date(k.last).toLocaleTimeString('en-GB')}</span>,
  },
];

export function Top({ rows }: { rows: Request[] }) {
  if (rows.length === 0)
    return (
      <Note title="No request has come that passes these filters.">
        It waits for more: what comes is counted here at once.
      </Note>
    );
  return (
    <>
      <Table
        caption="Requests by kind"
        rows={kinds(rows)}
        id={(k) => k.id}
        order="-count"
        name="sortTop"
        columns={COLUMNS}
      />
      <p class="muted">
        Of the {count(rows.length)} newest that were recorded: all that failed or were slow, of the rest a share. So
        failures weigh more here than among all requests; rates are on the pages of services. A * stands for numbers and
        other names of one thing.
      </p>
    </>
  );
}
