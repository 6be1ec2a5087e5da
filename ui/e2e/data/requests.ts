// Single requests.
import { T } from './shared';

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
  rule: 'VirtualService default/ratings http[0]',
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
