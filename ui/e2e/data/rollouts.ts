// Versions that are compared.
import { ref } from './shared';

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
