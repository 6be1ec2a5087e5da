// Services and workloads, and one of each.
import { breaker, golden, ref } from './shared';

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
  commands: ['tulle get svc reviews -n default -o yaml'],
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
  commands: ['tulle logs -n default reviews-v2 -c istio-proxy -f'],
};
