// The text of resources: findings as one types, what it would change, applying it, and watching it come into force.
import { useEffect, useState } from 'preact/hooks';
import { ask, Failed, session } from '../lib/api';
import { link } from '../lib/router';
import type { Ref } from '../lib/types';
import { Card } from '../parts/bits';
import { Diff } from '../parts/diff';
import { Editor } from '../parts/editor';
import { Findings } from './findings';
import { Propagation } from './propagation';
import { type Detail, type Finding, told } from './types';

/** The text, with findings as one types; then what it would change; then applying it. */
export function Edit({
  resource,
  path,
  seed = '',
  again,
}: {
  resource: Detail | null;
  path: string;
  /** Of something new, the text to begin with; if it changes, it replaces what stands there. */
  seed?: string;
  again: () => void;
}) {
  const [text, put] = useState(resource?.yaml ?? seed);
  const [applied, note] = useState<{ all: Ref[]; at: number }>({ all: [], at: 0 });
  const [base, rebase] = useState({ yaml: resource?.yaml ?? '', version: resource?.resourceVersion ?? '' });
  const [found, find] = useState<Finding[]>(resource?.diagnostics ?? []);
  const [checked, check] = useState<'' | 'busy' | 'done' | 'failed'>('');
  const [said, say] = useState<{ bad: boolean; text: string } | null>(null);
  const [diff, compare] = useState<string | null>(null);
  const changed = text !== base.yaml;
  useEffect(() => {
    if (resource) return;
    put(seed);
    compare(null);
  }, [seed, resource]);
  const theirs = resource && resource.resourceVersion !== base.version;
  // What others change comes in by itself as long as nothing here would be lost.
  useEffect(() => {
    if (!resource || !theirs || changed) return;
    put(resource.yaml);
    rebase({ yaml: resource.yaml, version: resource.resourceVersion });
    find(resource.diagnostics);
  }, [resource, theirs, changed]);
  useEffect(() => {
    if (!changed && resource) {
      find(resource.diagnostics);
      return;
    }
    check('busy');
    const control = new AbortController();
    const timer = setTimeout(() => {
      ask<{ diagnostics: Finding[] }>('validate', {
        method: 'POST',
        type: 'application/yaml',
        body: text,
        signal: control.signal,
      }).then(
        ({ diagnostics }) => {
          find(diagnostics);
          check('done');
        },
        (error: unknown) => {
          if (error instanceof DOMException) return;
          const more =
            error instanceof Failed ? (error.body as { diagnostics?: Finding[] } | null)?.diagnostics : undefined;
          if (more) find(more);
          check(more ? 'done' : 'failed');
          if (!more) say({ bad: true, text: told(error) });
        },
      );
    }, 350);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [text, changed, resource]);
  const show = async () => {
    try {
      const answer = await ask<{ unified: string }>('diff', { method: 'POST', type: 'application/yaml', body: text });
      compare(answer.unified || 'It changes nothing.');
    } catch (error) {
      say({ bad: true, text: told(error) });
    }
  };
  const apply = async (dry: boolean) => {
    say(null);
    try {
      const query = [dry ? 'dryRun=1' : '', resource ? `resourceVersion=${encodeURIComponent(base.version)}` : '']
        .filter(Boolean)
        .join('&');
      const answer = await ask<{
        applied: { resource: Ref; operation: string; resourceVersion: string }[];
        diagnostics: Finding[];
      }>(`${path}${query ? `?${query}` : ''}`, {
        method: 'PUT',
        type: 'application/yaml',
        body: text,
      });
      if (answer.diagnostics.length > 0) find(answer.diagnostics);
      const words = answer.applied.map((a) => `${a.resource.kind} ${a.resource.name}: ${a.operation}`).join(', ');
      say({ bad: false, text: dry ? `Would be accepted. ${words}` : `Applied. ${words}` });
      if (dry) return;
      compare(null);
      if (resource) rebase({ yaml: text, version: answer.applied[0]?.resourceVersion ?? base.version });
      note({ all: answer.applied.map((a) => a.resource), at: Date.now() / 1000 });
      again();
    } catch (error) {
      const more =
        error instanceof Failed ? (error.body as { diagnostics?: Finding[] } | null)?.diagnostics : undefined;
      if (more) find(more);
      say({ bad: true, text: told(error) });
    }
  };
  const writable = (resource?.writable ?? true) && (session.value?.canWrite ?? false);
  return (
    <div class="edit">
      {theirs && changed && (
        <p class="stale" role="status">
          It has been changed by someone else meanwhile.{' '}
          <button
            type="button"
            class="link"
            onClick={() => {
              put(resource.yaml);
              rebase({ yaml: resource.yaml, version: resource.resourceVersion });
            }}
          >
            Take theirs
          </button>
        </p>
      )}
      <Editor
        label="YAML"
        text={text}
        revision={`${base.version}${seed}`}
        marks={found}
        onChange={put}
        onApply={() => {
          if (changed && writable) apply(false);
        }}
        readOnly={resource !== null && !resource.writable}
      />
      <div class="edit-bar">
        <span class="muted" role="status">
          {checked === 'busy'
            ? 'checking'
            : found.length === 0
              ? 'no findings'
              : `${found.length} ${found.length === 1 ? 'finding' : 'findings'}`}
        </span>
        <span class="grow" />
        <button type="button" class="button" disabled={!changed} onClick={show}>
          Show the difference
        </button>
        <button type="button" class="button" disabled={!changed || !writable} onClick={() => apply(true)}>
          Try
        </button>
        <button type="button" class="button primary" disabled={!changed || !writable} onClick={() => apply(false)}>
          Apply
        </button>
      </div>
      {!writable && (
        <p class="muted">
          {resource && !resource.writable ? (
            'This resource comes from a file or from the mesh itself, and is not changed here.'
          ) : session.value?.readOnly ? (
            'This dashboard is for reading only.'
          ) : (
            <>
              To change it, <a href="#/login">log in</a>.
            </>
          )}
        </p>
      )}
      {said && (
        <p role={said.bad ? 'alert' : 'status'} class={said.bad ? 'tone-bad' : 'tone-good'}>
          {said.text}
        </p>
      )}
      {applied.all.length > 0 && (
        <Card
          title="Coming into force"
          aside={<a href={link(['graph'], { vs: Math.floor(applied.at) - 1 })}>Graph before and after</a>}
        >
          <ul class="plain">
            {applied.all.map((r) => (
              <Propagation key={r.id} resource={r} since={applied.at} />
            ))}
          </ul>
        </Card>
      )}
      {diff !== null && (
        <Card title="What would change">
          <Diff unified={diff} />
        </Card>
      )}
      <Findings found={found} />
    </div>
  );
}
