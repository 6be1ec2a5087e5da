// The graph as a table: the same calls, the same figures.
import { millis, percent, rate } from '../lib/format';
import { set } from '../lib/router';
import { Lock, Sign } from '../parts/sign';
import { type Column, Table } from '../parts/table';
import { changeWords } from './diff';
import type { Edge, Model } from './model';
import { named } from './names';
import type { Shown } from './paint';

export function AsTable({ model, shown }: { model: Model; shown: Shown }) {
  const rows = [...model.edges.values()].filter(
    (e) =>
      !shown.hidden.edges.has(e.id) &&
      !shown.hidden.nodes.has(e.from.id) &&
      !shown.hidden.nodes.has(e.to.id) &&
      (!shown.found ||
        shown.found.edges.has(e.id) ||
        (shown.found.nodes.has(e.from.id) && shown.found.nodes.has(e.to.id))),
  );
  const name = (n: Edge['from']) => `${named(n).title} ${named(n).tag}`.trim();
  const columns: Column<Edge>[] = [
    {
      id: 'from',
      name: 'From',
      by: (e) => name(e.from),
      show: (e) => (
        <button type="button" class="link" onClick={() => set({ sel: e.id })}>
          {name(e.from)}
        </button>
      ),
    },
    { id: 'to', name: 'To', by: (e) => name(e.to), show: (e) => name(e.to) },
    {
      id: 'health',
      name: 'Health',
      by: (e) => ['idle', 'healthy', 'degraded', 'failing'].indexOf(e.health),
      show: (e) => <Sign status={e.health} />,
    },
    { id: 'rate', name: 'Requests', number: true, by: (e) => e.rate, show: (e) => rate(e.rate) },
    { id: 'errors', name: 'Failed', number: true, by: (e) => e.errorRate, show: (e) => percent(e.errorRate) },
    { id: 'p50', name: 'p50', number: true, wide: true, by: (e) => e.p50, show: (e) => millis(e.p50) },
    { id: 'p95', name: 'p95', number: true, by: (e) => e.p95, show: (e) => millis(e.p95) },
    { id: 'p99', name: 'p99', number: true, wide: true, by: (e) => e.p99, show: (e) => millis(e.p99) },
    { id: 'mtls', name: 'Encryption', wide: true, by: (e) => e.mtls, show: (e) => <Lock share={e.mtls} /> },
    {
      id: 'protocol',
      name: 'Protocol',
      wide: true,
      by: (e) => e.protocols.join(),
      show: (e) => e.protocols.join(', '),
    },
  ];
  const { changes } = shown;
  if (changes)
    columns.splice(2, 0, {
      id: 'change',
      name: 'Change',
      long: true,
      by: (e) => ['same', 'gone', 'new'].indexOf(changes.get(e.id)?.presence ?? 'same'),
      show: (e) => {
        const change = changes.get(e.id);
        return change ? changeWords(change) : '–';
      },
    });
  return (
    <Table
      caption="Calls between workloads"
      rows={rows}
      columns={columns}
      id={(e) => e.id}
      order="-errors"
      selected={shown.selected}
    />
  );
}
