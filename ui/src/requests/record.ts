// A request as a proxy recorded it. What a proxy keeps is all errors and slow ones and a share of the rest; never bodies, and no header
// that may be secret.

export interface End {
  workload: string;
  namespace: string;
  principal: string;
  address: string;
  service?: string;
}

export interface Request {
  seq: number;
  time: number;
  duration: number;
  upstream_duration: number | null;
  reporter: string;
  pod: string;
  namespace: string;
  source: End;
  destination: End;
  method: string;
  path: string;
  authority: string;
  protocol: string;
  status: number;
  grpc_status: number | null;
  flags: string;
  details: string;
  route: string;
  cluster: string;
  rule: string;
  attempts: number;
  request_bytes: number;
  response_bytes: number;
  mtls: boolean;
  request_id: string;
  trace_id: string;
  sampled: string;
  headers: Record<string, string>;
}
