// Questions in PromQL, and their answers as columns for charts.
import { ask } from './api';

export interface Series {
  labels: Record<string, string>;
  values: [number, number][];
}

interface Answer {
  data: {
    resultType: string;
    result: { metric: Record<string, string>; values?: [number, string][]; value?: [number, string] }[];
  };
}

export function quote(text: string): string {
  return JSON.stringify(text);
}

export async function range(query: string, start: number, end: number, step: number): Promise<Series[]> {
  const params = new URLSearchParams({ query, start: String(start), end: String(end), step: String(step) });
  const answer = await ask<Answer>(`v1/query_range?${params}`);
  return answer.data.result.map((r) => ({
    labels: r.metric,
    values: (r.values ?? []).map(([t, v]) => [t, Number(v)] as [number, number]),
  }));
}

export async function instant(
  query: string,
  time?: string,
): Promise<{ labels: Record<string, string>; value: number }[]> {
  const params = new URLSearchParams({ query, ...(time ? { time } : {}) });
  const answer = await ask<Answer>(`v1/query?${params}`);
  return answer.data.result.map((r) => ({ labels: r.metric, value: Number(r.value?.[1]) }));
}

/** Columns on one common axis of time; what is missing is a gap. */
export function columns(all: Series[], start: number, end: number, step: number): (number | null)[][] {
  const length = Math.floor((end - start) / step) + 1;
  const times = Array.from({ length }, (_, at) => start + at * step);
  const rows = all.map((series) => {
    const row = new Array<number | null>(length).fill(null);
    for (const [time, value] of series.values) {
      const at = Math.round((time - start) / step);
      if (at >= 0 && at < length && Number.isFinite(value)) row[at] = value;
    }
    return row;
  });
  return [times, ...rows];
}

/** Matchers that mean one end of a call. */
export function selector(labels: Record<string, string | undefined>): string {
  const parts = Object.entries(labels).filter(([, v]) => v !== undefined && v !== '');
  return `{${parts.map(([k, v]) => (v!.startsWith('~') ? `${k}=~${quote(v!.slice(1))}` : `${k}=${quote(v!)}`)).join(',')}}`;
}
