import { expect, test } from 'vitest';
import { kinds, shape } from '../src/requests/by-kind';
import type { Request } from '../src/requests/record';

function request(path: string, more: Partial<Request> = {}): Request {
  const end = { namespace: 'shop', principal: '', address: '' };
  return {
    seq: 1,
    time: 1000,
    duration: 4,
    reporter: 'source',
    source: { ...end, workload: 'web' },
    destination: { ...end, workload: 'cart' },
    method: 'GET',
    path,
    authority: 'cart',
    status: 200,
    grpc_status: null,
    flags: '-',
    request_id: '',
    ...more,
  } as Request;
}

test('what names one thing among many is a star', () => {
  expect(
    ['/cart/17', '/cart/17/items', '/a/6f1c0d6e-0000-4000-8000-000000000001', '/deadbeef01', '/facade'].map(shape),
  ).toEqual(['/cart/*', '/cart/*/items', '/a/*', '/*', '/facade']);
});

test('requests of a kind are counted together', () => {
  const all = kinds([
    request('/cart/1', { duration: 4, time: 1000 }),
    request('/cart/2', { duration: 9, time: 3000, status: 503, flags: 'UH,URX' }),
    request('/cart/3', { duration: 5, time: 2000 }),
    request('/cart/3', { method: 'DELETE' }),
  ]);
  expect(all).toHaveLength(2);
  expect(all[0]).toMatchObject({
    path: '/cart/*',
    prefix: '/cart/',
    count: 3,
    failed: 1,
    best: 4,
    median: 5,
    worst: 9,
    last: 3000,
    flags: ['UH', 'URX'],
  });
});

test('a hop that both sides recorded counts once, as its client tells it', () => {
  const both = { request_id: 'one', duration: 8 };
  const [kind, ...others] = kinds([
    request('/', { ...both, reporter: 'destination', duration: 3 }),
    request('/', both),
    // Tried twice by the client; and one whose client has no proxy.
    request('/', both),
    request('/', { reporter: 'destination', request_id: 'two', duration: 1 }),
  ]);
  expect(others).toEqual([]);
  expect([kind?.count, kind?.best, kind?.worst]).toEqual([3, 1, 8]);
});
