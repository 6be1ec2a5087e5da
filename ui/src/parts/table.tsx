// A table whose order is in the address.
import type { ComponentChildren } from 'preact';
import { option, set } from '../lib/router';

export interface Column<Row> {
  id: string;
  name: string;
  /** Longer words for the head. */
  about?: string;
  show: (row: Row) => ComponentChildren;
  /** By what it is ordered; without, it is not. */
  by?: (row: Row) => string | number | null | undefined;
  number?: boolean;
  /** Left out where the screen is narrow; `very` also where it is as wide as a laptop's. */
  wide?: boolean | 'very';
  /** Words rather than a figure: on a telephone it takes the whole width. */
  long?: boolean;
}

interface Props<Row> {
  caption: string;
  rows: Row[];
  columns: Column<Row>[];
  id: (row: Row) => string;
  /** `column` or `-column`. */
  order: string;
  /** The option of the address that holds the order. */
  name?: string;
  selected?: string;
  most?: number;
}

export function Table<Row>({ caption, rows, columns, id, order, name = 'sort', selected, most = 300 }: Props<Row>) {
  const wanted = option(name, order);
  const down = wanted.startsWith('-');
  const column = columns.find((c) => c.id === wanted.replace(/^-/, '') && c.by);
  const sorted = column ? [...rows].sort((a, b) => compare(column.by!(a), column.by!(b)) * (down ? -1 : 1)) : rows;
  return (
    // What can be scrolled must be reachable by keyboard
    <div class="table-box" role="region" aria-label={caption} tabIndex={0}>
      <OrderPick columns={columns} column={column} down={down} name={name} />
      {/* On a telephone rows are cards, which takes tables their meaning unless it is said */}
      <table class="cards" role="table">
        <caption class="hidden-text">{caption}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((c) => (
              <th
                key={c.id}
                scope="col"
                role="columnheader"
                class={cls(c)}
                aria-sort={c === column ? (down ? 'descending' : 'ascending') : undefined}
              >
                {c.by ? (
                  <button
                    type="button"
                    title={c.about}
                    onClick={() =>
                      set({ [name]: c === column ? (down ? c.id : `-${c.id}`) : c.number ? `-${c.id}` : c.id })
                    }
                  >
                    {c.name}
                    <span aria-hidden="true" class="order">
                      {c === column ? (down ? '↓' : '↑') : ''}
                    </span>
                  </button>
                ) : (
                  <span title={c.about}>{c.name}</span>
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {sorted.slice(0, most).map((row) => (
            <tr key={id(row)} role="row" class={id(row) === selected ? 'selected' : ''}>
              {columns.map((c, at) =>
                at === 0 ? (
                  <th key={c.id} scope="row" role="rowheader" class={cls(c)}>
                    {c.show(row)}
                  </th>
                ) : (
                  <td key={c.id} role="cell" class={cls(c)} data-label={c.name}>
                    {c.show(row)}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
      {sorted.length > most && <p class="more">{sorted.length - most} more are not shown: narrow the filter.</p>}
    </div>
  );
}

/** Where there is no room for a head, the order is picked from a list. */
function OrderPick<Row>({
  columns,
  column,
  down,
  name,
}: {
  columns: Column<Row>[];
  column: Column<Row> | undefined;
  down: boolean;
  name: string;
}) {
  const orders = columns.filter((c) => c.by);
  if (orders.length < 2) return null;
  return (
    <div class="order-pick">
      <label class="field select">
        <span>Order by</span>
        <select
          value={column?.id ?? ''}
          onChange={(e) => {
            const to = orders.find((c) => c.id === (e.target as HTMLSelectElement).value);
            set({ [name]: to ? `${to.number ? '-' : ''}${to.id}` : '' });
          }}
        >
          {!column && <option value="">as it came</option>}
          {orders.map((c) => (
            <option key={c.id} value={c.id}>
              {c.name}
            </option>
          ))}
        </select>
      </label>
      <button
        type="button"
        class="icon"
        disabled={!column}
        aria-label={down ? 'Largest first; change' : 'Smallest first; change'}
        onClick={() => column && set({ [name]: down ? column.id : `-${column.id}` })}
      >
        {down ? '↓' : '↑'}
      </button>
    </div>
  );
}

function cls<Row>(column: Column<Row>): string {
  return [
    column.number ? 'num' : '',
    column.long ? 'long' : '',
    column.wide === 'very' ? 'very-wide' : column.wide ? 'wide' : '',
  ]
    .filter(Boolean)
    .join(' ');
}

function compare(a: string | number | null | undefined, b: string | number | null | undefined): number {
  if (a == null || b == null) return a == null ? (b == null ? 0 : -1) : 1;
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a).localeCompare(String(b), 'en', { numeric: true });
}
