// What is configured for a node, in two letters and in words.

const BADGES: Record<string, [string, string]> = {
  'circuit-breaker': ['CB', 'Circuit breaker'],
  fault: ['FI', 'Fault injection'],
  mirror: ['MI', 'Mirrored'],
  split: ['SP', 'Split by weight'],
  routing: ['RR', 'Request routing'],
  timeout: ['TO', 'Timeout'],
  retry: ['RT', 'Retries'],
  gateway: ['GW', 'Reached from a gateway'],
  'missing-sidecar': ['NO', 'Not in the mesh: no sidecar'],
  'rate-limit': ['RL', 'Rate limit'],
  external: ['EX', 'Outside the mesh'],
};

export const KNOWN = Object.keys(BADGES);

export function badgeShort(badge: string): string {
  return BADGES[badge]?.[0] ?? badge.slice(0, 2).toUpperCase();
}

export function badgeWords(badge: string): string {
  return BADGES[badge]?.[1] ?? badge;
}
