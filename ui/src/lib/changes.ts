// What was changed lately, for marks on charts and for comparing before with after. Asked for once for all who show it.
import { effect, signal } from '@preact/signals';
import { ask } from './api';
import { ticks } from './live';
import type { Ref } from './types';

export interface Change {
  time: number;
  resource: Ref;
  operation: string;
  version: number;
  who: string;
  how: string;
  summary: string;
  source: string;
}

/** Changes within a second belong together: somebody applied a file. */
export interface Moment {
  time: number;
  changes: Change[];
}

/** How far back changes are asked for, in seconds: further than any chart goes. */
const KEPT = 3600;

/** The changes of the last hour, newest first. */
export const changes = signal<Change[]>([]);

/** Keeps them up to date; once, when the page starts. */
export function watchChanges(): void {
  effect(() => {
    ticks.configuration.value;
    ask<{ changes: Change[] }>(`changes?since=${Math.floor(Date.now() / 1000) - KEPT}`).then(
      (answer) => {
        if (!same(answer.changes, changes.peek())) changes.value = answer.changes;
      },
      // Charts do without marks; who asks for changes themselves is told.
      () => undefined,
    );
  });
}

function same(a: Change[], b: Change[]): boolean {
  return a.length === b.length && a[0]?.time === b[0]?.time;
}

/** Changes by moment, newest first. */
export function moments(all: Change[]): Moment[] {
  const out: Moment[] = [];
  for (const change of all) {
    const last = out.at(-1);
    if (last && Math.abs(last.time - change.time) < 1) last.changes.push(change);
    else out.push({ time: change.time, changes: [change] });
  }
  return out;
}

export function named(resource: Ref): string {
  const namespace = resource.namespace && resource.namespace !== '-' ? `${resource.namespace}/` : '';
  return `${resource.kind} ${namespace}${resource.name}`;
}

/** A moment in a few words. */
export function momentWords({ changes: all }: Moment): string {
  const [first] = all;
  if (!first) return '';
  if (all.length === 1) return `${named(first.resource)}: ${first.summary || first.operation}`;
  const kinds = [...new Set(all.map((c) => c.resource.kind))];
  return all.length <= 3
    ? all.map((c) => named(c.resource)).join(', ')
    : `${all.length} resources: ${kinds.slice(0, 4).join(', ')}${kinds.length > 4 ? ' and others' : ''}`;
}
