// Proxies, what one was sent, and the control plane.
import { workloads } from './services';
import { ref, T } from './shared';

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
