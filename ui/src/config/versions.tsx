// The versions of a resource: what each changed, and the way back.
import { useState } from 'preact/hooks';
import { ask, session } from '../lib/api';
import { moment } from '../lib/format';
import { link, option, set } from '../lib/router';
import { useAsk } from '../lib/use';
import { Card } from '../parts/bits';
import { Diff } from '../parts/diff';
import { Note, Show } from '../parts/state';
import { type Detail, told } from './types';

export function Versions({ r, path, again }: { r: Detail; path: string; again: () => void }) {
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
              <a href={link(['graph'], { vs: Math.floor(v.time) - 1 })}>Graph before and after it</a>
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
