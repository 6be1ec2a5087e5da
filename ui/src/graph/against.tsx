// With which time the graph is compared: some minutes before, or before one of the latest changes.
import { changes, moments, momentWords } from '../lib/changes';
import { clock } from '../lib/format';
import { option, set } from '../lib/router';

const BACK: [string, string][] = [
  ['60', '1 min earlier'],
  ['300', '5 min earlier'],
  ['900', '15 min earlier'],
  ['3600', '1 h earlier'],
];
/** Smaller numbers are seconds back, greater ones are moments. */
const MOMENT = 1_000_000;
/** So many changes are offered. */
const MOST = 8;

/** The moment that is compared with, in seconds since 1970, for a graph of `now`; `null` if none is. */
export function against(now: number): number | null {
  const vs = Number(option('vs'));
  if (!Number.isFinite(vs) || vs <= 0) return null;
  return vs < MOMENT ? Math.floor(now - vs) : Math.floor(vs);
}

export function Against() {
  const vs = option('vs');
  const latest = moments(changes.value).slice(0, MOST);
  const known = vs === '' || BACK.some(([id]) => id === vs) || latest.some((m) => momentId(m.time) === vs);
  return (
    <label class="field select against">
      <span>Compare with</span>
      <select value={vs} onChange={(e) => set({ vs: (e.target as HTMLSelectElement).value })}>
        <option value="">nothing</option>
        {BACK.map(([id, words]) => (
          <option key={id} value={id}>
            {words}
          </option>
        ))}
        {latest.map((m) => (
          <option key={m.time} value={momentId(m.time)}>
            before {clock(m.time)}, {momentWords(m)}
          </option>
        ))}
        {!known && (
          <option value={vs}>{Number(vs) > MOMENT ? `before ${clock(Number(vs))}` : `${vs} s earlier`}</option>
        )}
      </select>
    </label>
  );
}

/** The second before a change. */
function momentId(time: number): string {
  return String(Math.floor(time) - 1);
}
