// Resources, one with its versions, and what is wrong with others.
import { ref, T } from './shared';

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
