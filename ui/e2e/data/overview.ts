// What changed, and how the mesh is.
import { services } from './services';
import { golden, ref, T } from './shared';

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
      command: 'tulle get svc ratings -n default -o yaml',
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
