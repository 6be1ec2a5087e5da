// Figures as people read them: few digits, the same everywhere.

const NONE = '–';

/** About three digits, without a tail of zeros. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size < 0.01) return '<0.01';
  return value.toLocaleString('en', { maximumFractionDigits: size >= 100 ? 0 : size >= 10 ? 1 : 2 });
}

export function rate(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return NONE;
  if (value >= 10_000) return `${digits(value / 1000)}k/s`;
  return `${digits(value)}/s`;
}

export function millis(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return NONE;
  if (value >= 60_000) return `${digits(value / 60_000)} min`;
  if (value >= 1000) return `${digits(value / 1000)} s`;
  return `${digits(value)} ms`;
}

export function percent(share: number | null | undefined): string {
  if (share == null || !Number.isFinite(share)) return NONE;
  const value = share * 100;
  if (value === 0) return '0 %';
  if (value < 0.1) return '<0.1 %';
  if (value > 99.9 && value < 100) return '>99.9 %';
  return `${value.toLocaleString('en', { maximumFractionDigits: value >= 10 && value <= 99 ? 0 : 1 })} %`;
}

export function bytes(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return NONE;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  let left = value;
  while (left >= 1024 && at < units.length - 1) {
    left /= 1024;
    at += 1;
  }
  return `${digits(left)} ${units[at]}`;
}

export function count(value: number | null | undefined): string {
  return value == null || !Number.isFinite(value) ? NONE : Math.round(value).toLocaleString('en');
}

/** A duration in seconds: `45 s`, `12 min`, `3 h`, `5 d`. */
export function span(seconds: number): string {
  if (!Number.isFinite(seconds)) return NONE;
  const size = Math.abs(seconds);
  if (size < 90) return `${Math.round(seconds)} s`;
  if (size < 5400) return `${Math.round(seconds / 60)} min`;
  if (size < 129_600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

export function clock(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString('en-GB');
}

export function moment(seconds: number): string {
  const at = new Date(seconds * 1000);
  const today = at.toDateString() === new Date().toDateString();
  return today
    ? at.toLocaleTimeString('en-GB')
    : at.toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
}

/** `15s`, `10m`, `1h` in seconds; 0 if it is none. */
export function seconds(text: string): number {
  const found = /^(\d+)(s|m|h|d)$/.exec(text);
  if (!found) return 0;
  return Number(found[1]) * { s: 1, m: 60, h: 3600, d: 86_400 }[found[2] as 's' | 'm' | 'h' | 'd'];
}
