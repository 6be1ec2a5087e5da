import { expect, test } from 'vitest';
import { type Basis, WIZARDS, type WizardId } from '../src/config/wizards';
import { yaml } from '../src/lib/yaml';

const versions = ['v1', 'v2'].map((name) => ({ name, labels: [`version=${name}`] }));
const bare: Basis = { namespace: 'shop', name: 'cart', versions, virtualService: null, destinationRule: null };

function made(id: WizardId, basis: Basis, answers: Record<string, string> = {}): string {
  return yaml(...WIZARDS.find((w) => w.id === id)!.make(basis, answers));
}

test('where nothing is configured a canary makes its subsets and its route', () => {
  expect(made('split', bare, { 'weight-v1': '95', 'weight-v2': '5' })).toBe(`apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: cart
  namespace: shop
spec:
  host: cart
  subsets:
    - name: v1
      labels:
        version: v1
    - name: v2
      labels:
        version: v2
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: cart
  namespace: shop
spec:
  hosts:
    - cart
  http:
    - route:
        - destination:
            host: cart
            subset: v1
          weight: 95
        - destination:
            host: cart
            subset: v2
          weight: 5
`);
});

test('what is configured already is kept: only the rule for every request is changed', () => {
  const virtualService = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'all', namespace: 'shop' },
    spec: {
      hosts: ['cart'],
      http: [
        { match: [{ uri: { prefix: '/admin' } }], route: [{ destination: { host: 'admin' } }] },
        { match: [{ headers: { user: { exact: 'jo' } } }], route: [{ destination: { host: 'cart' } }] },
        { name: 'rest', route: [{ destination: { host: 'cart.shop.svc.cluster.local' } }], timeout: '3s' },
      ],
    },
  };
  const text = made('fault', { ...bare, virtualService }, { kind: 'delay', delay: '1.5', percent: '20' });
  expect(text.match(/fault:/g)).toHaveLength(1);
  expect(text).toContain('name: all');
  expect(text).toContain(`    - name: rest
      route:
        - destination:
            host: cart.shop.svc.cluster.local
      timeout: 3s
      fault:
        delay:
          fixedDelay: 1.5s
          percentage:
            value: 20
`);
  // What was given is as it was.
  expect(JSON.stringify(virtualService)).not.toContain('fault');
});

test('a fault for one header comes before the rule for all, which stays', () => {
  const text = made('fault', bare, { kind: 'abort', status: '500', percent: '100', header: 'x-drill=yes' });
  expect(text).toContain(`  http:
    - match:
        - headers:
            x-drill:
              exact: "yes"
      route:
        - destination:
            host: cart
      fault:
        abort:
          httpStatus: 500
          percentage:
            value: 100
    - route:
        - destination:
            host: cart
`);
});

test('a breaker keeps the subsets and the rest of the policy', () => {
  const destinationRule = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name: 'cart', namespace: 'shop' },
    spec: { host: 'cart', trafficPolicy: { loadBalancer: { simple: 'ROUND_ROBIN' } }, subsets: [{ name: 'v1' }] },
  };
  const text = made('breaker', { ...bare, destinationRule }, { errors: '3', most: '100' });
  expect(text).toContain('simple: ROUND_ROBIN');
  expect(text).toContain('consecutive5xxErrors: 3');
  expect(text).toContain('maxEjectionPercent: 100');
  expect(text).toContain('- name: v1');
});

test('no retries are said as such, and no timeout is none', () => {
  const text = made('timeout', bare, { timeout: '0', attempts: '0' });
  expect(text).toContain('attempts: 0');
  expect(text).not.toContain('timeout');
});

test.each([
  ['plain', 'plain'],
  ['true', '"true"'],
  ['12', '"12"'],
  ['', '""'],
  ['a: b', '"a: b"'],
  ['* all', '"* all"'],
  ['spiffe://td/ns/a', 'spiffe://td/ns/a'],
  [12, '12'],
  [true, 'true'],
  [null, 'null'],
])('%s is written so that it is read as what it is', (value, text) => {
  expect(yaml({ key: value })).toBe(`key: ${text}\n`);
});
