import { expect, test } from 'vitest';
import { bytes, millis, percent, rate, seconds, span } from '../src/lib/format';
import { columns } from '../src/lib/promql';
import { parse } from '../src/lib/router';

test('figures have few digits and say when they are not known', () => {
  expect([rate(0), rate(0.004), rate(1.234), rate(12.34), rate(1234), rate(12_345), rate(null)]).toEqual([
    '0/s',
    '<0.01/s',
    '1.23/s',
    '12.3/s',
    '1,234/s',
    '12.3k/s',
    '–',
  ]);
  expect([millis(0.61), millis(4.2), millis(1500), millis(90_000), millis(undefined)]).toEqual([
    '0.61 ms',
    '4.2 ms',
    '1.5 s',
    '1.5 min',
    '–',
  ]);
  expect([percent(0), percent(0.0004), percent(0.012), percent(0.5), percent(0.99995), percent(1)]).toEqual([
    '0 %',
    '<0.1 %',
    '1.2 %',
    '50 %',
    '>99.9 %',
    '100 %',
  ]);
  expect([bytes(0), bytes(1536), bytes(5_000_000)]).toEqual(['0 B', '1.5 KiB', '4.77 MiB']);
  expect([span(45), span(600), span(7200), span(864_000)]).toEqual(['45 s', '10 min', '2 h', '10 d']);
  expect([seconds('15s'), seconds('10m'), seconds('x')]).toEqual([15, 600, 0]);
});

test('an address is a path and options', () => {
  const place = parse('#/service/default/re%2Fviews?tab=routes&q=a%20b');
  expect(place.parts).toEqual(['service', 'default', 're/views']);
  expect(place.query.get('q')).toBe('a b');
  // What is broken does not break the page.
  expect(parse('#/service/%E0%A4%A').parts).toEqual(['service', '%E0%A4%A']);
  expect(parse('').parts).toEqual([]);
});

test('series get one axis, and gaps where nothing was', () => {
  const all = columns(
    [
      {
        labels: {},
        values: [
          [10, 1],
          [20, 3],
        ],
      },
      {
        labels: {},
        values: [
          [15, Number.NaN],
          [20, 5],
        ],
      },
    ],
    10,
    25,
    5,
  );
  expect(all).toEqual([
    [10, 15, 20, 25],
    [1, null, 3, null],
    [null, null, 5, null],
  ]);
});
