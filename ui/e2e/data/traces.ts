// Traces, and one.
import { T } from './shared';

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
