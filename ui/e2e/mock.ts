// A server that answers as the control plane does: the built pages with their security headers, and data from `data.ts`, of which a
// test may replace any.

import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname } from 'node:path';
import * as data from './data';

/** As in crates/tulle-dashboard/src/ui/mod.rs. */
const POLICY =
  "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'";
const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain',
};

type Answer = { status?: number; json?: unknown; stream?: string[] };
export type Handler = (url: URL, body: string, request: IncomingMessage) => Answer;

export interface Mock {
  url: string;
  /** Method, path and CSRF header of what was asked, writes only. */
  writes: { method: string; path: string; csrf: string | undefined; body: string }[];
  routes: Record<string, Handler>;
  /** Sends an event to all who read a stream. */
  emit: (event: string) => void;
  /** Ends all streams, as a server that is restarted; browsers connect again. */
  hangUp: () => void;
  close: () => Promise<void>;
}

/** Served below `base`, as behind a proxy. */
export async function mock(routes: Record<string, Handler> = {}, base = '/'): Promise<Mock> {
  const readers = new Set<ServerResponse>();
  const state: Mock = {
    emit: (event) => {
      for (const reader of readers) reader.write(event);
    },
    hangUp: () => {
      for (const reader of readers) reader.destroy();
    },
    url: '',
    writes: [],
    routes: { ...standard(), ...routes },
    close: async () => undefined,
  };
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (!url.pathname.startsWith(base)) return void response.writeHead(404).end();
    const path = url.pathname.slice(base.length);
    if (!path.startsWith('api/')) return file(path, response);
    let body = '';
    for await (const chunk of request) body += chunk;
    const csrf = request.headers['x-tulle-csrf'];
    if (request.method !== 'GET')
      state.writes.push({
        method: request.method ?? '',
        path: path + url.search,
        csrf: typeof csrf === 'string' ? csrf : undefined,
        body,
      });
    answer(state, readers, path.slice(4), url, body, request, response);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  state.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${base}`;
  state.close = () =>
    new Promise((done) => {
      server.closeAllConnections();
      server.close(() => done());
    });
  return state;
}

function file(path: string, response: ServerResponse): void {
  const name = path === '' || path === 'login' ? 'index.html' : path;
  try {
    const content = readFileSync(new URL(`../build/${name}`, import.meta.url));
    response
      .writeHead(200, { 'content-type': TYPES[extname(name)] ?? 'text/plain', 'content-security-policy': POLICY })
      .end(content);
  } catch {
    response.writeHead(404).end('not found');
  }
}

function answer(
  state: Mock,
  readers: Set<ServerResponse>,
  path: string,
  url: URL,
  body: string,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const key = Object.keys(state.routes)
    .filter((k) => path === k || (k.endsWith('/') && path.startsWith(k)))
    .sort((a, b) => b.length - a.length)[0];
  const said = key
    ? state.routes[key]!(url, body, request)
    : { status: 404, json: { error: { status: 404, reason: 'NotFound', message: `no ${path}`, fix: null } } };
  if (said.stream) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    for (const event of said.stream) response.write(event);
    readers.add(response);
    response.on('close', () => readers.delete(response));
    return;
  }
  response.writeHead(said.status ?? 200, { 'content-type': 'application/json' }).end(JSON.stringify(said.json));
}

function standard(): Record<string, Handler> {
  const give =
    (json: unknown): Handler =>
    () => ({ json });
  return {
    session: give({
      user: 'jane',
      mode: 'session',
      canRead: true,
      canWrite: true,
      readOnly: false,
      csrf: 'the-token',
      expires: null,
      loginCommand: 'tulle dashboard',
    }),
    events: () => ({ stream: ['event: hello\ndata: {"time":1,"version":"0.1.0","instance":"x"}\n\n'] }),
    graph: give(data.graph),
    overview: give(data.overview),
    changes: give({ changes: data.changes }),
    services: give({ services: data.services }),
    'services/': give(data.serviceDetail),
    workloads: give({ workloads: data.workloads }),
    'workloads/': give(data.workloadDetail),
    requests: give(data.requests),
    'requests/stream': () => ({ stream: [`id: 9\nevent: request\ndata: ${JSON.stringify(data.oneMore)}\n\n`] }),
    traces: (url) => ({ json: url.searchParams.has('services') ? { services: ['reviews.default'] } : data.traces }),
    'traces/': give(data.trace),
    resources: (_, __, request) => ({
      json:
        request.method === 'PUT'
          ? {
              applied: [{ resource: data.resource, operation: 'create', resourceVersion: '82' }],
              diagnostics: [],
              dryRun: false,
            }
          : data.resources,
    }),
    'resources/': (url, _, request) => ({
      json:
        request.method === 'GET'
          ? url.pathname.includes('/DestinationRule/')
            ? data.destinationRule
            : data.resource
          : {
              applied: [{ resource: data.resource, operation: 'update', resourceVersion: '82' }],
              diagnostics: [],
              dryRun: false,
            },
    }),
    validate: (_, body) => ({
      json: body.includes('ratngs') ? data.invalid : { valid: true, resources: [], diagnostics: [] },
    }),
    diff: give(data.diff),
    'security/encryption': give(data.encryption),
    'security/certificates': give(data.certificates),
    'security/policies': give(data.policies),
    'security/access': give(data.access),
    rollouts: give(data.rollouts),
    proxies: give(data.proxies),
    'proxies/': give(data.dump),
    'control-plane': give(data.plane),
    'v1/query_range': (url) => ({ json: { status: 'success', data: { resultType: 'matrix', result: [series(url)] } } }),
  };
}

/** A curve for any question. */
function series(url: URL): { metric: Record<string, string>; values: [number, string][] } {
  const [start, end, step] = ['start', 'end', 'step'].map((name) => Number(url.searchParams.get(name))) as [
    number,
    number,
    number,
  ];
  const query = url.searchParams.get('query') ?? '';
  const base = query.includes('0.99')
    ? 24
    : query.includes('0.95')
      ? 12
      : query.includes('5..')
        ? 0.8
        : query.includes('0.5,')
          ? 4
          : 9;
  const values: [number, string][] = [];
  for (let t = start; t <= end; t += step)
    values.push([t, String(base * (1 + 0.12 * Math.sin(t / 70) + 0.05 * Math.sin(t / 13)))]);
  return { metric: { response_code: '200', type: 'cds', policy: 'ratings' }, values };
}
