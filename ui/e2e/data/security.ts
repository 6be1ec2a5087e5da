// Encryption, certificates, policies, and who can call whom.
import { workloads } from './services';
import { ref, T } from './shared';

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
