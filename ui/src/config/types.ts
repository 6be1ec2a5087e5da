// Resources of the mesh as the control plane tells them, and how far they are in force.
import { Failed } from '../lib/api';
import type { Ref } from '../lib/types';
import type { Status } from '../parts/sign';

export interface Programmed {
  state: 'programmed' | 'pending' | 'refused' | 'idle' | 'unknown';
  have: number;
  of: number;
}

export interface Row extends Ref {
  state: 'valid' | 'warning' | 'error';
  programmed: Programmed;
  messages: number;
  versions: number;
  changed: number | null;
  who: string;
  generation: number;
}

export interface Kind {
  kind: string;
  group: string;
  plural: string;
  namespaced: boolean;
  count: number;
  writable: boolean;
}

export interface Finding {
  severity: 'error' | 'warning' | 'info';
  code: string | null;
  resource: Ref | null;
  field: string;
  message: string;
  fix: string | null;
  line: number | null;
  column: number | null;
}

export interface Version {
  version: number;
  time: number;
  who: string;
  how: string;
  operation: string;
  source: string;
  summary: string;
}

export interface Detail extends Ref {
  yaml: string;
  /** The same as a tree; older control planes do not tell it. */
  object?: Tree;
  resourceVersion: string;
  state: Row['state'];
  conditions: { type: string; status: string; reason: string; message: string; lastTransitionTime: string }[];
  diagnostics: Finding[];
  programmed: Programmed & { proxies: { id: string; state: 'has' | 'waits' | 'refuses'; message: string }[] };
  versions: Version[];
  writable: boolean;
}

export const STATE: Record<string, Status> = {
  valid: 'ok',
  warning: 'warn',
  error: 'fail',
  programmed: 'ok',
  pending: 'warn',
  refused: 'fail',
  idle: 'idle',
  unknown: 'unknown',
};

/** A part of a resource: what stands below a key. */
export type Tree = { [key: string]: unknown };

export function force(p: Programmed): string {
  return p.state === 'idle'
    ? 'concerns no proxy'
    : p.state === 'unknown'
      ? 'not known'
      : `${p.have} of ${p.of} proxies`;
}

/** Where a resource is asked for. */
export function pathOf(id: string): string {
  return `resources/${id.split('/').map(encodeURIComponent).join('/')}`;
}

/** An error with its way out. */
export function told(error: unknown): string {
  if (!(error instanceof Failed)) return String(error);
  const { message, fix, status } = error.problem;
  return `${message}${fix ? ` ${fix}` : ''}${status === 409 ? ' Load it anew, or take theirs.' : ''}`;
}
