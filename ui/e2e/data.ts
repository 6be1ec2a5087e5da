// Answers in the shape of the control plane's, for tests of pages without a mesh.
import { readFileSync } from 'node:fs';

export const graph = JSON.parse(readFileSync(new URL('./fixtures/graph.json', import.meta.url), 'utf8'));

const T = graph.time as number;
const ref = (kind: string, namespace: string, name: string) => ({
  id: `${kind}/${namespace}/${name}`,
  kind,
  group: 'networking.istio.io',
  namespace,
  name,
});
const golden = (rate: number, errorRate = 0, p50 = 4.2) => ({
  rate,
  errors: rate * errorRate,
  refused: 0,
  errorRate,
  successRate: 1 - errorRate,
  p50,
  p95: p50 * 3,
  p99: p50 * 7,
  mtls: 1,
});
const breaker = (state = 'closed', ejected = 0, endpoints = 1) => ({
  state,
  ejected,
  endpoints,
  open: [],
  configured: state !== 'none',
});

function service(name: string, workloads: string[], rate: number, errorRate: number, badges: string[], state = 'none') {
  const health = errorRate >= 0.05 ? 'failing' : errorRate >= 0.01 ? 'degraded' : 'healthy';
  return {
    id: `default/${name}`,
    namespace: 'default',
    name,
    host: `${name}.default.svc.cluster.local`,
    kind: 'service',
    ports: [{ name: 'http', port: 9080, protocol: 'http' }],
    workloads,
    endpoints: { total: workloads.length, healthy: workloads.length },
    health,
    reasons:
      errorRate > 0
        ? [
            {
              code: 'errors',
              text: `${Math.round(errorRate * 100)} % of requests failed, from 5 % on it is failing`,
              value: errorRate,
              limit: 0.05,
            },
          ]
        : [],
    ...golden(rate, errorRate),
    connections: 4,
    retries: 0,
    timeouts: 0,
    breaker: breaker(state, state === 'half-open' ? 1 : 0, workloads.length),
    badges,
    resources: [ref('VirtualService', 'default', name)],
  };
}

export const services = [
  service('ratings', ['default/ratings-v1'], 5.8, 0.25, ['fault', 'circuit-breaker'], 'half-open'),
  service(
    'reviews',
    ['default/reviews-v1', 'default/reviews-v2', 'default/reviews-v3'],
    8.8,
    0,
    ['split', 'timeout'],
    'closed',
  ),
  service('productpage', ['default/productpage-v1'], 9.0, 0.012, ['gateway']),
  service('details', ['default/details-v1'], 8.8, 0, []),
];

export const changes = [
  {
    time: T - 60,
    resource: ref('VirtualService', 'default', 'ratings'),
    operation: 'update',
    version: 3,
    who: 'jane',
    how: 'apply',
    summary: 'spec.http[0].fault.abort.percentage.value: 0 → 50',
    source: 'dashboard',
  },
  {
    time: T - 900,
    resource: ref('DestinationRule', 'default', 'reviews'),
    operation: 'create',
    version: 1,
    who: 'kubectl-client-side-apply',
    how: 'apply',
    summary: 'created',
    source: 'api',
  },
];

export const overview = {
  time: T,
  window: 60,
  mesh: {
    version: '0.1.0',
    trustDomain: 'cluster.local',
    rootNamespace: 'istio-system',
    uptime: 3600,
    kept: { since: T - 3600 },
  },
  checks: [
    {
      id: 'services-have-endpoints',
      status: 'fail',
      title: 'default/ratings is failing',
      detail: '25 % of requests failed in the last minute.',
      fix: 'VirtualService default/ratings injects a fault: remove it if the drill is over.',
      command: 'tulle describe svc ratings.default',
      link: '/services/default/ratings',
    },
    {
      id: 'proxies-synced',
      status: 'ok',
      title: 'All 7 proxies have what was sent',
      detail: '',
      fix: null,
      command: 'tulle proxy-status',
      link: '/proxies',
    },
    {
      id: 'encryption',
      status: 'ok',
      title: 'All calls are encrypted',
      detail: '',
      fix: null,
      command: null,
      link: null,
    },
    {
      id: 'ca-root',
      status: 'ok',
      title: 'The root certificate is valid for 10 years',
      detail: '',
      fix: null,
      command: null,
      link: null,
    },
  ],
  totals: { ...golden(32.4, 0.045, 6), tcpConnections: 0, bytesSent: 12_000, bytesReceived: 3000, entering: 9.2 },
  health: { healthy: 2, degraded: 1, failing: 1, idle: 0 },
  services,
  servicesTotal: services.length,
  proxies: { connected: 7, synced: 7, stale: 0, rejecting: 0 },
  encryption: { share: 1, edges: 7, plaintextEdges: 0 },
  certificates: { rootExpires: T + 3.1e8, soonest: { workload: 'default/reviews-v1', expires: T + 72_000 } },
  configuration: { resources: 12, errors: 0, warnings: 1, pending: 0 },
  changes,
};

export const serviceDetail = {
  ...services[1]!,
  routes: [
    {
      id: 'VirtualService/default/reviews#http[0]',
      name: 'http[0]',
      resource: ref('VirtualService', 'default', 'reviews'),
      rule: 0,
      match: ['header end-user = jason'],
      destinations: [{ host: 'reviews', subset: 'v2', port: 9080, weight: 100, workloads: ['default/reviews-v2'] }],
      timeout: 0.5,
      retries: { attempts: 3, perTryTimeout: 2, on: '5xx' },
      fault: { abort: { status: 503, percentage: 10 }, delay: null },
      mirror: null,
      ...golden(1.2),
      errorRate: 0.1,
      grpc: 0.4,
    },
    {
      id: 'VirtualService/default/reviews#http[1]',
      name: 'http[1]',
      resource: ref('VirtualService', 'default', 'reviews'),
      rule: 1,
      match: [],
      destinations: [
        { host: 'reviews', subset: 'v1', port: 9080, weight: 90, workloads: ['default/reviews-v1'] },
        { host: 'reviews', subset: 'v3', port: 9080, weight: 10, workloads: ['default/reviews-v3'] },
      ],
      timeout: null,
      retries: null,
      fault: null,
      mirror: null,
      ...golden(7.6),
      grpc: 0,
    },
  ],
  peers: {
    inbound: [
      {
        id: 'default/productpage-v1',
        kind: 'workload',
        protocol: 'http',
        ...golden(8.8),
        codes: { 200: 8.8 },
        flags: {},
        health: 'healthy',
        reasons: [],
        principal: 'spiffe://cluster.local/ns/default/sa/bookinfo-productpage',
      },
    ],
    outbound: [
      {
        id: 'default/ratings-v1',
        kind: 'workload',
        protocol: 'http',
        ...golden(5.8, 0.25),
        codes: { 200: 4, 503: 1.8 },
        flags: { FI: 1.8 },
        health: 'failing',
        reasons: [],
        principal: null,
      },
    ],
  },
  subsets: ['v1', 'v2', 'v3'].map((v, n) => ({
    name: v,
    labels: [`version=${v}`],
    workloads: [`default/reviews-${v}`],
    ...golden([6.6, 1.3, 0.9][n]!),
  })),
  endpoints: {
    total: 3,
    healthy: 2,
    list: ['v1', 'v2', 'v3'].map((v, n) => ({
      address: `10.244.0.${7 + n}:9080`,
      pod: `reviews-${v}-abc`,
      workload: `default/reviews-${v}`,
      version: v,
      ready: true,
      zone: '',
      weight: 1,
      breaker: n === 2 ? 'open' : 'closed',
      ejectedBy: n === 2 ? ['default/productpage-v1'] : [],
      rate: 2.9,
      errors: 0,
      connections: 2,
    })),
  },
  configuration: [
    {
      what: 'Timeout',
      value: '0.5 s',
      why: 'spec.http[0].timeout',
      resource: ref('VirtualService', 'default', 'reviews'),
      rule: 0,
    },
    {
      what: 'mTLS accepted',
      value: 'STRICT',
      why: 'spec.mtls.mode',
      resource: ref('PeerAuthentication', 'istio-system', 'default'),
      rule: null,
    },
    { what: 'Load balancer', value: 'LEAST_REQUEST', why: null, resource: null, rule: null },
  ],
  queries: { rate: 'sum(rate(istio_requests_total{destination_service_name="reviews"}[1m]))' },
  commands: ['tulle describe svc reviews.default'],
};

export const workloads = ['productpage-v1', 'details-v1', 'reviews-v1', 'reviews-v2', 'reviews-v3', 'ratings-v1'].map(
  (name) => ({
    id: `default/${name}`,
    namespace: 'default',
    name,
    kind: 'Deployment',
    app: name.split('-')[0]!,
    version: name.split('-')[1]!,
    serviceAccount: `bookinfo-${name.split('-')[0]}`,
    pods: { total: 1, ready: 1, injected: 1, synced: 1 },
    services: [`default/${name.split('-')[0]}`],
    health: 'healthy',
    reasons: [],
    inbound: golden(5),
    outbound: golden(3),
    badges: [],
  }),
);

export const workloadDetail = {
  ...workloads[3]!,
  podsList: [
    {
      name: 'reviews-v2-abc',
      ip: '10.244.0.8',
      node: 'tulle',
      ready: true,
      injected: true,
      proxy: { synced: true, version: '0.1.0' },
      principal: 'spiffe://cluster.local/ns/default/sa/bookinfo-reviews',
    },
  ],
  peers: serviceDetail.peers,
  configuration: serviceDetail.configuration,
  policies: [],
  queries: serviceDetail.queries,
  commands: ['tulle describe pod reviews-v2-abc.default'],
};

const request = (seq: number, status: number, path: string, to: string, flags = '-') => ({
  seq,
  time: T * 1000 - seq * 180,
  duration: 3.4 + seq,
  upstream_duration: status === 503 ? null : 2.9,
  reporter: 'source',
  pod: 'reviews-v2-abc',
  namespace: 'default',
  source: {
    workload: 'reviews-v2',
    namespace: 'default',
    principal: 'spiffe://cluster.local/ns/default/sa/bookinfo-reviews',
    address: '10.244.0.8',
  },
  destination: {
    workload: status === 503 ? '' : to,
    namespace: 'default',
    principal: '',
    address: '10.244.0.9:9080',
    service: 'ratings.default.svc.cluster.local',
  },
  method: 'GET',
  path,
  authority: 'ratings:9080',
  protocol: 'HTTP/1.1',
  status,
  grpc_status: null,
  flags,
  details: flags === 'FI' ? 'fault_filter_abort' : 'via_upstream',
  route: 'default',
  cluster: 'outbound|9080||ratings.default.svc.cluster.local',
  rule: 'VirtualService default/ratings#0',
  attempts: 1,
  request_bytes: 0,
  response_bytes: 379,
  mtls: true,
  request_id: `6f1c0d6e-0000-4000-8000-00000000000${seq}`,
  trace_id: 'ab'.repeat(16),
  sampled: status === 503 ? 'error' : 'sample',
  headers: { 'user-agent': 'curl', authorization: '(redacted)' },
});
export const requests = {
  requests: [
    request(1, 200, '/ratings/0', 'ratings-v1'),
    request(2, 503, '/ratings/1', 'ratings-v1', 'FI'),
    request(3, 200, '/ratings/2', 'ratings-v1'),
    request(4, 404, '/ratings/nobody', 'ratings-v1'),
  ],
  last: 4,
  lost: 0,
};
export const oneMore = request(0, 503, '/ratings/live', 'ratings-v1', 'UH');

export const traces = {
  traces: [
    {
      trace_id: 'ab'.repeat(16),
      root: 'productpage.default: GET /productpage',
      service: 'productpage.default',
      name: '',
      start: T * 1000 - 4000,
      duration: 48.2,
      spans: 6,
      errors: 1,
      status: 200,
      services: [
        { name: 'productpage.default', spans: 2, errors: 0 },
        { name: 'reviews.default', spans: 2, errors: 0 },
        { name: 'ratings.default', spans: 2, errors: 1 },
      ],
      events: 2,
      complete: true,
    },
    {
      trace_id: 'cd'.repeat(16),
      root: 'productpage.default: GET /productpage',
      service: 'productpage.default',
      name: '',
      start: T * 1000 - 9000,
      duration: 21.7,
      spans: 8,
      errors: 0,
      status: 200,
      services: [
        { name: 'productpage.default', spans: 2, errors: 0 },
        { name: 'details.default', spans: 2, errors: 0 },
      ],
      events: 0,
      complete: true,
    },
  ],
  kept: 812,
  lost: 0,
};
const span = (
  id: number,
  parent: number,
  service: string,
  kind: string,
  start: number,
  duration: number,
  depth: number,
  more = {},
) => ({
  span_id: String(id).padStart(16, '0'),
  parent_id: parent ? String(parent).padStart(16, '0') : '',
  service: `${service}.default`,
  pod: `${service}-v1-abc`,
  namespace: 'default',
  name: `${service}.default.svc.cluster.local:9080/*`,
  kind,
  start: T * 1000 + start,
  duration,
  depth,
  critical: false,
  error: false,
  status: 200,
  flags: '-',
  tags: {
    'http.url': `http://${service}:9080/`,
    upstream_cluster: `outbound|9080||${service}.default.svc.cluster.local`,
  },
  events: [],
  ...more,
});
export const trace = {
  trace_id: 'ab'.repeat(16),
  start: T * 1000,
  duration: 48.2,
  services: [
    'istio-ingressgateway.istio-system',
    'productpage.default',
    'details.default',
    'reviews.default',
    'ratings.default',
  ],
  spans: [
    span(1, 0, 'productpage', 'server', 0, 48.2, 0, { critical: true }),
    span(2, 1, 'details', 'client', 2, 8, 1),
    span(3, 2, 'details', 'server', 3, 6, 2),
    span(4, 1, 'reviews', 'client', 12, 34, 1, {
      critical: true,
      events: [{ time: T * 1000 + 14, name: 'retry', attributes: { attempt: '2', reason: '503' } }],
    }),
    span(5, 4, 'reviews', 'server', 16, 29, 2, { critical: true }),
    span(6, 5, 'ratings', 'client', 20, 14, 3, {
      critical: true,
      error: true,
      status: 503,
      flags: 'FI',
      events: [{ time: T * 1000 + 21, name: 'fault', attributes: { kind: 'abort' } }],
    }),
  ],
};

export const yaml =
  'apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: ratings\n  namespace: default\nspec:\n  hosts:\n    - ratings\n  http:\n    - fault:\n        abort:\n          httpStatus: 503\n          percentage:\n            value: 50\n      route:\n        - destination:\n            host: ratings\n';
const programmed = { state: 'programmed', have: 7, of: 7 };
export const resources = {
  resources: [
    {
      ...ref('VirtualService', 'default', 'ratings'),
      state: 'warning',
      programmed,
      messages: 1,
      versions: 3,
      changed: T - 60,
      who: 'jane',
      generation: 3,
    },
    {
      ...ref('DestinationRule', 'default', 'reviews'),
      state: 'valid',
      programmed: { state: 'pending', have: 6, of: 7 },
      messages: 0,
      versions: 1,
      changed: T - 900,
      who: 'kubectl',
      generation: 1,
    },
    {
      ...ref('Gateway', 'default', 'bookinfo-gateway'),
      state: 'valid',
      programmed: { state: 'programmed', have: 1, of: 1 },
      messages: 0,
      versions: 1,
      changed: T - 3600,
      who: 'tulle',
      generation: 1,
    },
  ],
  kinds: [
    {
      kind: 'VirtualService',
      group: 'networking.istio.io',
      plural: 'virtualservices',
      namespaced: true,
      count: 1,
      writable: true,
    },
    {
      kind: 'DestinationRule',
      group: 'networking.istio.io',
      plural: 'destinationrules',
      namespaced: true,
      count: 1,
      writable: true,
    },
  ],
};
const finding = {
  severity: 'warning',
  code: 'IST0130',
  resource: null,
  field: 'spec.http[0].fault',
  message: 'half of all requests are aborted',
  fix: 'remove the fault when the drill is over',
  line: 10,
  column: 7,
};
export const resource = {
  ...ref('VirtualService', 'default', 'ratings'),
  yaml,
  resourceVersion: '81',
  state: 'warning',
  conditions: [
    {
      type: 'Reconciled',
      status: 'True',
      reason: 'Programmed',
      message: 'in force on 7 of 7 proxies',
      lastTransitionTime: '2026-11-29T17:00:00Z',
    },
  ],
  diagnostics: [finding],
  programmed: {
    ...programmed,
    proxies: [
      { id: 'reviews-v1-abc.default', state: 'has', message: '' },
      { id: 'reviews-v2-abc.default', state: 'waits', message: '' },
    ],
  },
  versions: [3, 2, 1].map((v) => ({
    version: v,
    time: T - 60 * (4 - v),
    who: 'jane',
    how: 'apply',
    operation: v === 1 ? 'create' : 'update',
    source: 'dashboard',
    resourceVersion: String(78 + v),
    summary: v === 1 ? 'created' : `spec.http[0].fault.abort.percentage.value: ${(v - 2) * 10} → 50`,
  })),
  writable: true,
};
/** What a DestinationRule of reviews without a policy is. */
export const destinationRule = {
  ...resource,
  ...ref('DestinationRule', 'default', 'reviews'),
  yaml: '',
  object: {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name: 'reviews', namespace: 'default' },
    spec: { host: 'reviews', subsets: ['v1', 'v2', 'v3'].map((v) => ({ name: v, labels: { version: v } })) },
  },
};

export const invalid = {
  valid: false,
  resources: [],
  diagnostics: [
    {
      severity: 'error',
      code: 'IST0101',
      resource: null,
      field: 'spec.http[0].route[0].destination.host',
      message: 'no host ratngs is known',
      fix: 'did you mean ratings?',
      line: 18,
      column: 19,
    },
  ],
};
export const diff = {
  from: '',
  to: '',
  changes: [],
  unified:
    '--- before\n+++ after\n@@ -11,5 +11,5 @@\n         abort:\n           httpStatus: 503\n           percentage:\n-            value: 10\n+            value: 50\n',
};

export const encryption = {
  share: 0.98,
  edges: [
    {
      source: 'default/productpage-v1',
      target: 'default/reviews-v1',
      service: 'default/reviews',
      protocol: 'http',
      rate: 3,
      mtls: 1,
      state: 'encrypted',
      reason: null,
      resource: null,
      principals: { source: 'spiffe://cluster.local/ns/default/sa/bookinfo-productpage', destination: null },
    },
    {
      source: 'unknown',
      target: 'default/ratings-v1',
      service: 'default/ratings',
      protocol: 'http',
      rate: 0.2,
      mtls: 0,
      state: 'plaintext',
      reason: 'PeerAuthentication default/default is PERMISSIVE and the client has no sidecar',
      resource: ref('PeerAuthentication', 'default', 'default'),
      principals: null,
    },
  ],
  workloads: workloads.map((w, n) => ({
    id: w.id,
    mode: n === 5 ? 'PERMISSIVE' : 'STRICT',
    resource: ref('PeerAuthentication', 'istio-system', 'default'),
    plaintextRate: n === 5 ? 0.2 : 0,
  })),
};
export const certificates = {
  phase: 'steady',
  signsUntil: T + 3.1e8,
  roots: [
    {
      role: 'signing',
      subject: 'O=cluster.local, CN=Tulle root CA',
      expires: T + 3.1e8,
      fingerprint: 'dd2b07b696299273',
    },
  ],
  workloads: workloads.map((w, n) => ({
    workload: w.id,
    pod: `default/${w.name}-abc`,
    identity: `spiffe://cluster.local/ns/default/sa/${w.serviceAccount}`,
    serial: String(n),
    root: 'dd2b07b696299273',
    expires: Date.now() / 1000 + 46_000 - n * 8000,
    state: n === 5 ? 'due' : 'fresh',
  })),
};
export const policies = {
  policies: [
    {
      resource: { ...ref('AuthorizationPolicy', 'default', 'ratings'), group: 'security.istio.io' },
      action: 'ALLOW',
      dryRun: false,
      workloads: ['default/ratings-v1'],
      rules: [
        {
          index: 0,
          text: 'from principals cluster.local/ns/default/sa/bookinfo-reviews; to GET /ratings/*',
          allowed: 5.8,
          denied: 0,
        },
      ],
      allowed: 5.8,
      denied: 0,
      unused: false,
    },
  ],
  implicit: [{ workload: 'default/ratings-v1', denied: 0.4 }],
};
export const access = {
  workloads: workloads.map((w) => w.id),
  rows: [
    {
      from: 'default/reviews-v2',
      to: 'default/ratings-v1',
      verdict: 'allowed',
      why: 'AuthorizationPolicy default/ratings rule 0',
      resource: null,
      conditions: ['GET /ratings/*'],
      observed: 2.9,
    },
    {
      from: 'default/details-v1',
      to: 'default/ratings-v1',
      verdict: 'denied',
      why: 'no rule of AuthorizationPolicy default/ratings matches',
      resource: null,
      conditions: [],
      observed: null,
    },
  ],
};
const variant = (name: string, role: string, weight: number, requestCount: number, errors: number) => ({
  name,
  role,
  destination: { host: 'reviews', subset: name },
  workloads: [`default/reviews-${name}`],
  weight,
  share: weight / 100,
  rate: requestCount / 60,
  requests: requestCount,
  errors,
  success: 1 - errors / requestCount,
  successLow: 1 - errors / requestCount - 0.02,
  successHigh: Math.min(1, 1 - errors / requestCount + 0.01),
  p50: 4.1,
  p95: 9,
  p99: 20,
  samples: requestCount,
});
export const rollouts = {
  rollouts: [
    {
      id: 'VirtualService/default/reviews#http[0]',
      resource: ref('VirtualService', 'default', 'reviews'),
      rule: 0,
      service: 'default/reviews',
      kind: 'split',
      match: [],
      variants: [variant('v1', 'stable', 90, 546, 2), variant('v3', 'canary', 10, 61, 3)],
      comparison: {
        verdict: 'worse',
        text: 'v3 fails 4.6 percentage points more often than v1 (1.0 to 12.9 with 95 % confidence).',
        successDifference: -0.046,
        low: -0.129,
        high: -0.01,
        confidence: 0.95,
      },
    },
  ],
};
const types = Object.fromEntries(['cds', 'lds', 'eds', 'rds'].map((t) => [t, { state: 'SYNCED', refused: [] }]));
export const proxies = {
  time: T,
  proxies: workloads.map((w, n) => ({
    id: `${w.name}-abc.default`,
    pod: `${w.name}-abc`,
    namespace: 'default',
    workload: w.id,
    kind: 'sidecar',
    cluster: 'Kubernetes',
    version: '0.1.0',
    stockEnvoy: false,
    ip: `10.244.0.${n + 3}`,
    connectedSince: T - 3600,
    types: n === 3 ? { ...types, rds: { state: 'STALE', refused: [] } } : types,
    state: n === 3 ? 'STALE' : 'SYNCED',
    acknowledged: 812,
    behind: n === 3 ? 1 : 0,
    lastPush: T - 60,
    certificateExpires: Date.now() / 1000 + 46_000,
    dump: '',
  })),
  unconnected: [
    {
      pod: 'legacy-1',
      namespace: 'default',
      workload: 'default/legacy',
      reason: 'the pod is not injected: label sidecar.istio.io/inject is "false"',
    },
  ],
};
export const dump = {
  types: {
    cds: [
      {
        name: 'outbound|9080||ratings.default.svc.cluster.local',
        madeBy: [ref('Service', 'default', 'ratings')],
        refused: null,
        resource: { name: 'outbound|9080||ratings.default.svc.cluster.local', type: 'EDS' },
      },
    ],
    lds: [],
    eds: [],
    rds: [],
  },
};
export const plane = {
  version: '0.1.0',
  uptime: 3600,
  ready: true,
  trustDomain: 'cluster.local',
  streams: 7,
  storeVersion: 812,
  pushes: { cds: 10 },
  rejects: { lds: 0 },
  pushTime: { p50: 0.01, p99: 0.1 },
  convergence: { p50: 0.07, p99: 0.48 },
  memoryBytes: 48e6,
  cpuSeconds: 12.5,
  telemetry: { series: 1800, memoryBytes: 9e6, diskBytes: 2e6, sources: 8, lost: {} },
  history: { resources: 12, versions: 31, bytes: 48_000, dropped: 0 },
  events: { clients: 1, cut: 0 },
  audit: { recorded: 3, lost: 0 },
  certificateAuthority: { issued: 8, refused: 0, rootExpires: T + 3.1e8 },
};

/** A mesh of that many services in namespaces of 25, placed as the control plane places them: columns in frames, frames in rows. */
export function large(count: number) {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * below);
  };
  const nodes = [];
  const places: Record<string, [number, number]> = {};
  const frames: Record<string, [number, number, number, number]> = {};
  const edges: Record<string, unknown>[] = [];
  for (let n = 0; n < count; n += 1) {
    const [room, at] = [Math.floor(n / 25), n % 25];
    const namespace = `team-${String(room).padStart(2, '0')}`;
    const [left, top] = [(room % 6) * 1600, Math.floor(room / 6) * 480];
    frames[namespace] ??= [left, top, 1484, 402];
    places[`${namespace}/s${n}`] = [left + 112 + Math.floor(at / 5) * 300, top + 68 + (at % 5) * 70];
    nodes.push({
      id: `${namespace}/s${n}`,
      kind: 'workload',
      name: `s${n}`,
      namespace,
      app: `s${n}`,
      version: '',
      inbound: 1,
      outbound: 1,
    });
    const call = (to: number) => {
      const errorRate = random(60) === 0 ? 0.2 : 0;
      edges.push({
        ...graph.edges[0],
        source: `${namespace}/s${n}`,
        target: `team-${String(Math.floor(to / 25)).padStart(2, '0')}/s${to}`,
        service: `service:x/s${to}`,
        rate: 1 + random(50),
        errorRate,
        errors: errorRate * 20,
        health: errorRate > 0 ? 'failing' : 'healthy',
        reasons: [],
        codes: { 200: 1 },
        flags: {},
      });
    };
    if (at > 0) call(room * 25 + random(at));
    if (n % 10 < 7) call(random(Math.floor(count / 25)) * 25);
  }
  return { time: T, window: 60, nodes, edges, layout: { version: 1, node: [176, 48], places, frames } };
}
