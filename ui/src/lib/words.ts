// Response flags in words, as they are told on pages.

const FLAGS: Record<string, string> = {
  DC: 'the client closed its connection',
  DF: 'the name could not be resolved',
  DI: 'delayed by an injected fault',
  DPE: 'the client broke the protocol',
  DT: 'the request or connection lasted longer than allowed',
  FI: 'aborted by an injected fault',
  IH: 'refused because of an invalid header',
  LH: 'the local health check failed',
  LR: 'the proxy reset the connection',
  NC: 'the route leads to a cluster that does not exist',
  NFCF: 'no filter configuration was found',
  NR: 'no route matches the request',
  OM: 'shed, because the proxy is short of memory',
  RL: 'refused by a rate limit',
  RLSE: 'the rate limit service failed',
  RFCF: 'the response came from a cache filter',
  SI: 'the stream was idle for too long',
  UAEX: 'refused by the external authorization service',
  UC: 'the server closed the connection in the middle',
  UF: 'the server could not be connected to',
  UH: 'no healthy endpoint',
  UMSDR: 'the request lasted longer than allowed',
  UO: 'the circuit breaker is open: too many requests or connections at a time',
  UPE: 'the server broke the protocol',
  UR: 'the server reset the request',
  URX: 'all retries or connection attempts failed',
  UT: 'the server did not answer in time',
};

export function flagWords(flag: string): string {
  return FLAGS[flag] ?? 'see the list of response flags';
}
