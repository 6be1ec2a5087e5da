// Health as shape, colour and word.
import type { Health } from '../lib/types';

export type Status = Health | 'ok' | 'warn' | 'fail' | 'unknown';

const TONE: Record<Status, 'good' | 'warn' | 'bad' | 'idle'> = {
  healthy: 'good',
  ok: 'good',
  degraded: 'warn',
  warn: 'warn',
  failing: 'bad',
  fail: 'bad',
  idle: 'idle',
  unknown: 'idle',
};

export function tone(status: Status): 'good' | 'warn' | 'bad' | 'idle' {
  return TONE[status] ?? 'idle';
}

export function Sign({ status, label, quiet }: { status: Status; label?: string; quiet?: boolean }) {
  const kind = tone(status);
  return (
    <span class={`sign sign-${kind}`}>
      <svg viewBox="0 0 14 14" width="12" height="12" aria-hidden="true">
        {kind === 'good' && <circle cx="7" cy="7" r="4.5" fill="currentColor" />}
        {kind === 'warn' && <path d="M7 1.5 13 12.5H1z" fill="currentColor" />}
        {kind === 'bad' && <path d="M7 .5 13.5 7 7 13.5.5 7z" fill="currentColor" />}
        {kind === 'idle' && <circle cx="7" cy="7" r="4" fill="none" stroke="currentColor" stroke-width="1.6" />}
      </svg>
      <span class={quiet ? 'hidden-text' : ''}>{label ?? status}</span>
    </span>
  );
}

/** A lock for a share of mutual TLS. */
export function Lock({ share, text }: { share: number | null | undefined; text?: string }) {
  const state = share == null ? 'idle' : share >= 0.9995 ? 'good' : share > 0 ? 'warn' : 'bad';
  const words = { idle: 'not known', good: 'encrypted', warn: 'partly encrypted', bad: 'plaintext' }[state];
  return (
    <span class={`sign sign-${state}`}>
      <svg viewBox="0 0 14 14" width="12" height="12" aria-hidden="true">
        <rect
          x="2.5"
          y="6"
          width="9"
          height="7"
          rx="1.6"
          fill={state === 'idle' ? 'none' : 'currentColor'}
          stroke="currentColor"
        />
        {state === 'good' ? (
          <path d="M4.5 6V4a2.5 2.5 0 0 1 5 0v2" fill="none" stroke="currentColor" stroke-width="1.6" />
        ) : (
          <path d="M8 6V3.6a2.4 2.4 0 0 1 4.8 0V5" fill="none" stroke="currentColor" stroke-width="1.5" />
        )}
      </svg>
      <span>{text ?? words}</span>
    </span>
  );
}
