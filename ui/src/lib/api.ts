// What the control plane answers, and why it does not.
import { signal } from '@preact/signals';

export interface Problem {
  status: number;
  reason: string;
  message: string;
  fix: string | null;
}

/** An answer that is none: what went wrong, and the way out if the server knows one. */
export class Failed extends Error {
  constructor(
    readonly problem: Problem,
    readonly body: unknown = null,
  ) {
    super(problem.message);
  }
}

export interface Session {
  user: string;
  mode: 'none' | 'anonymous' | 'session' | 'bearer';
  canRead: boolean;
  canWrite: boolean;
  readOnly: boolean;
  csrf: string | null;
  expires: number | null;
  loginCommand?: string;
}

/** Who one is; `null` until it is known, or if this control plane has no login. */
export const session = signal<Session | null>(null);

export interface Ask {
  method?: string;
  body?: string;
  type?: string;
  signal?: AbortSignal;
}

/** Where the server is: beside the page, below whatever path a proxy put it. */
export function address(path: string): string {
  return (
    new URL(`./api/${path}`, document.baseURI).pathname + (path.includes('?') ? path.slice(path.indexOf('?')) : '')
  );
}

export async function ask<T>(path: string, how: Ask = {}): Promise<T> {
  const headers: Record<string, string> = { accept: 'application/json' };
  const method = how.method ?? 'GET';
  if (how.type) headers['content-type'] = how.type;
  if (method !== 'GET' && session.value?.csrf) headers['x-tulle-csrf'] = session.value.csrf;
  let response: Response;
  try {
    response = await fetch(address(path), {
      method,
      headers,
      credentials: 'same-origin',
      ...(how.body === undefined ? {} : { body: how.body }),
      ...(how.signal ? { signal: how.signal } : {}),
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Failed({
      status: 0,
      reason: 'Unreachable',
      message: 'The control plane does not answer.',
      fix: 'Check that tulle up, or the port forwarding to it, still runs. This page tries again by itself.',
    });
  }
  if (response.ok) return response.status === 204 ? (undefined as T) : ((await response.json()) as T);
  const body = await response.json().catch(() => null);
  throw new Failed(problemOf(response.status, body), body);
}

function problemOf(status: number, body: unknown): Problem {
  const error = (body as { error?: unknown } | null)?.error;
  if (error && typeof error === 'object') {
    const known = error as Partial<Problem>;
    return { status, reason: known.reason ?? '', message: known.message ?? `status ${status}`, fix: known.fix ?? null };
  }
  if (typeof error === 'string') return { status, reason: '', message: error, fix: null };
  if (status === 404)
    return {
      status,
      reason: 'NotServed',
      message: 'This control plane does not serve this yet.',
      fix: 'It may be older than this page: reload, or upgrade the control plane.',
    };
  return { status, reason: '', message: `The control plane answered with status ${status}.`, fix: null };
}

export async function findSession(): Promise<void> {
  try {
    session.value = await ask<Session>('session');
  } catch (error) {
    if (error instanceof Failed && error.problem.status === 404) session.value = null;
    else throw error;
  }
}

export async function login(token: string): Promise<void> {
  session.value = await ask<Session>('login', {
    method: 'POST',
    type: 'application/json',
    body: JSON.stringify({ token }),
  });
}

export async function logout(): Promise<void> {
  await ask('logout', { method: 'POST' });
  await findSession();
}
