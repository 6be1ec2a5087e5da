// The control plane's answers, as far as pages read them (docs/dashboard-api.md).

export type Health = 'healthy' | 'degraded' | 'failing' | 'idle';

export interface Reason {
  code: string;
  text: string;
  value?: number | null;
  limit?: number | null;
  /** The resource of the mesh that makes it so, where one does. */
  resource?: Ref;
  rule?: number;
}

export interface Ref {
  id: string;
  kind: string;
  group?: string;
  namespace: string;
  name: string;
}

export interface Golden {
  rate: number | null;
  errors: number | null;
  refused: number | null;
  errorRate: number | null;
  successRate?: number | null;
  p50: number | null;
  p95: number | null;
  p99: number | null;
  mtls?: number | null;
}

export interface Breaker {
  state: 'closed' | 'open' | 'half-open' | 'none';
  ejected: number;
  endpoints: number;
  open: string[];
  configured: boolean;
}

export interface GraphNode {
  id: string;
  kind: 'workload' | 'service' | 'external' | 'unknown';
  name: string;
  namespace: string;
  app: string;
  version: string;
  inbound: number;
  outbound: number;
  health?: Health;
  reasons?: Reason[];
  badges?: string[];
  services?: string[];
  breaker?: Breaker | null;
  connections?: number | null;
  pods?: { total: number; ready: number; injected: number; synced: number } | null;
}

export interface GraphEdge {
  source: string;
  target: string;
  service: string;
  protocol: string;
  reporter: string;
  rate: number;
  errors: number;
  refused: number;
  errorRate: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
  mtls: number | null;
  codes: Record<string, number>;
  flags: Record<string, number>;
  bytesSent: number;
  bytesReceived: number;
  health?: Health;
  reasons?: Reason[];
  badges?: string[];
  connections?: number | null;
  principals?: { source: string | null; destination: string | null };
  breaker?: Breaker | null;
}

export interface Placing {
  version: number;
  node: [number, number];
  places: Record<string, [number, number]>;
  frames: Record<string, [number, number, number, number]>;
}

export interface Graph {
  time: number;
  window: number;
  nodes: GraphNode[];
  edges: GraphEdge[];
  layout?: Placing;
}
