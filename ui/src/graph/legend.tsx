// What colours and shapes mean under the lens that is on.
import { millis } from '../lib/format';
import { LENSES, type Lens, SLOW } from './lens';

const ROWS: Record<Lens, [string, string][]> = {
  errors: [
    ['good', 'healthy'],
    ['warn', 'from 1 % failed on'],
    ['bad', 'from 5 % failed on'],
    ['tcp', 'TCP'],
    ['idle', 'idle'],
  ],
  latency: [
    ['slow0', `p95 below ${millis(SLOW[0]!)}`],
    ['slow1', `below ${millis(SLOW[1]!)}`],
    ['slow2', `below ${millis(SLOW[2]!)}`],
    ['slow3', 'slower'],
  ],
  traffic: [
    ['flow', 'the wider, the more'],
    ['tcp', 'TCP'],
  ],
  mtls: [
    ['good', 'all mutual TLS'],
    ['warn', 'partly'],
    ['bad', 'plaintext'],
    ['idle', 'not known'],
  ],
};

export function Legend({ lens }: { lens: Lens }) {
  const about = LENSES.find((l) => l.id === lens)?.about;
  return (
    <details class="legend">
      <summary>Legend</summary>
      <p>{about}</p>
      <ul>
        {ROWS[lens].map(([tone, words]) => (
          <li key={words}>
            <i class={`fill-${tone}`} aria-hidden="true" /> {words}
          </li>
        ))}
      </ul>
      <p>Disc: healthy. Triangle: degraded. Diamond: failing. Ring: idle. Lock: mutual TLS; open: not.</p>
    </details>
  );
}
