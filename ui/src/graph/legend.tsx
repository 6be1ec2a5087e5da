// What colours and shapes mean under the lens that is on.
import { millis } from '../lib/format';
import { badgeShort, badgeWords, KNOWN } from './badges';
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

const BADGE_WORDS = KNOWN.map((b) => `${badgeShort(b)} ${badgeWords(b).toLowerCase()}`).join(', ');

const COMPARED: [string, string][] = [
  ['accent', 'new'],
  ['idle', 'gone (dashed), or unchanged'],
  ['bad', 'worse: 1 % more fail, or a quarter slower'],
  ['good', 'better'],
  ['flow', 'a quarter more requests'],
  ['warn', 'a quarter fewer'],
];

export function Legend({ lens, compared }: { lens: Lens; compared: boolean }) {
  const about = compared
    ? 'What changed since the time that is compared with'
    : LENSES.find((l) => l.id === lens)?.about;
  return (
    <details class="legend">
      <summary>Legend</summary>
      <p>{about}</p>
      <ul>
        {(compared ? COMPARED : ROWS[lens]).map(([tone, words]) => (
          <li key={words}>
            <i class={`fill-${tone}`} aria-hidden="true" /> {words}
          </li>
        ))}
      </ul>
      <p>{BADGE_WORDS}</p>
      <p>Disc: healthy. Triangle: degraded. Diamond: failing. Ring: idle. Lock: mutual TLS; open: not.</p>
    </details>
  );
}
