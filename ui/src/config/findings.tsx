// What is wrong with a text or a resource, and what mends it.
import { Sign } from '../parts/sign';
import type { Finding } from './types';

export function Findings({ found }: { found: Finding[] }) {
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
