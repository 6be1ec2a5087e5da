import { describe, expect, test } from 'vitest';
import { graph } from '../e2e/data';
import { BadQuery, find, parse } from '../src/graph/find';
import { build } from '../src/graph/model';

const model = build(graph);

function found(text: string): string[] {
  const { nodes, edges } = find(parse(text), model.nodes.values(), model.edges.values());
  return [...nodes, ...edges].sort();
}

const REVIEWS = ['default/reviews-v1', 'default/reviews-v2', 'default/reviews-v3'];

describe('finding', () => {
  test.each([
    ['app = reviews', REVIEWS],
    ['ns = istio-system', ['istio-system/istio-ingressgateway']],
    ['namespace != default', ['istio-system/istio-ingressgateway']],
    ['version = v2', ['default/reviews-v2']],
    ['app = reviews and version != v1', REVIEWS.slice(1)],
    ['app = reviews and (version = v1 or version = v3)', [REVIEWS[0], REVIEWS[2]]],
    // OR binds tighter than AND, as in Kiali.
    ['version = v1 or version = v2 and app = reviews', REVIEWS.slice(0, 2)],
    ['(version = v1 and app = details) or version = v3', ['default/details-v1', 'default/reviews-v3']],
    ['name startswith rev and version = v1', ['default/reviews-v1']],
    ['name not contains rev and version = v1 and app contains e', ['default/details-v1', 'default/productpage-v1']],
    ['%httperr > 10', ['default/reviews-v2→default/ratings-v1']],
    ['trafficsource', ['istio-system/istio-ingressgateway']],
    ['cb', ['default/ratings-v1']],
    ['! healthy', ['default/ratings-v1', 'default/reviews-v2→default/ratings-v1']],
    ['not (! healthy) and app = ratings', []],
    ['ratings', ['default/ratings-v1']],
    ['"product"', ['default/productpage-v1']],
    ['httpout = NaN and version = v1', ['default/details-v1', 'default/ratings-v1', 'default/reviews-v1']],
    ['rank >= 5', ['default/productpage-v1']],
  ])('%s', (text, expected) => {
    expect(found(text)).toEqual(expected);
  });

  test('every edge is mtls', () => {
    expect(found('mtls')).toEqual([...model.edges.keys()].sort());
    expect(found('! mtls')).toEqual([]);
  });

  test.each([
    ['nmespace = x', 'nothing is called'],
    ['(app = x', '“)” is missing'],
    ['app =', 'is missing at the end'],
    ['app', 'needs a comparison'],
    ['app = x y', 'stands where'],
    ['responsetime > soon', 'is not a number'],
    ['('.repeat(100), 'too many parentheses'],
  ])('%s is refused', (text, why) => {
    expect(() => found(text)).toThrow(BadQuery);
    expect(() => found(text)).toThrow(why);
  });
});
