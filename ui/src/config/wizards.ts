// What is asked for most, made from a few answers: a canary, a fault, a timeout, a circuit breaker, a mirror. A rule that is there
// already is changed where it says so and keeps the rest.
import type { Tree } from './types';

export type WizardId = 'split' | 'fault' | 'timeout' | 'breaker' | 'mirror';

export interface Field {
  name: string;
  label: string;
  /** What it is if nothing is said. */
  otherwise: string;
  kind: 'number' | 'text' | 'choice';
  choices?: string[];
  unit?: string;
}

/** What is known of the service that it is about. */
export interface Basis {
  namespace: string;
  name: string;
  /** Versions that are told apart, with their labels as `key=value`. */
  versions: { name: string; labels: string[] }[];
  /** The rules that are there, as trees. */
  virtualService: Tree | null;
  destinationRule: Tree | null;
}

export type Answers = Record<string, string>;

export interface Wizard {
  id: WizardId;
  name: string;
  about: string;
  fields: (basis: Basis) => Field[];
  make: (basis: Basis, answers: Answers) => Tree[];
}

type Rule = Tree & { match?: unknown[]; route?: Tree[] };

function virtualService(basis: Basis): Tree {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: basis.name, namespace: basis.namespace },
    spec: { hosts: [basis.name], http: [{ route: [{ destination: { host: basis.name } }] }] },
  };
}

function destinationRule(basis: Basis): Tree {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name: basis.name, namespace: basis.namespace },
    spec: { host: basis.name },
  };
}

function copyOf<T>(value: T): T {
  return structuredClone(value);
}

function leadsTo(rule: Rule, basis: Basis): boolean {
  const names = [basis.name, `${basis.name}.${basis.namespace}`, `${basis.name}.${basis.namespace}.svc.cluster.local`];
  return (rule.route ?? []).some((r) => names.includes(String((r.destination as Tree | undefined)?.host ?? '')));
}

/** The VirtualService with `change` made to the rules that lead to the service: the one for every request, else all of them. */
function withRules(basis: Basis, change: (rule: Rule) => Rule[]): Tree {
  const whole = copyOf(basis.virtualService ?? virtualService(basis));
  const spec = whole.spec as Tree;
  const rules = ((spec.http as Rule[] | undefined) ?? []).slice();
  const leading = rules.filter((r) => leadsTo(r, basis));
  const open = leading.filter((r) => !r.match || r.match.length === 0);
  const meant = open.length > 0 ? open : leading;
  spec.http =
    meant.length > 0
      ? rules.flatMap((r) => (meant.includes(r) ? change(r) : [r]))
      : [...rules, ...change({ route: [{ destination: { host: basis.name } }] })];
  return whole;
}

/** The DestinationRule with a subset for each version. */
function withSubsets(basis: Basis): Tree {
  const whole = copyOf(basis.destinationRule ?? destinationRule(basis));
  const spec = whole.spec as Tree;
  const subsets = ((spec.subsets as Tree[] | undefined) ?? []).slice();
  for (const version of basis.versions) {
    if (subsets.some((s) => s.name === version.name)) continue;
    const labels = Object.fromEntries(version.labels.map((l) => l.split('=', 2) as [string, string]));
    subsets.push({ name: version.name, labels });
  }
  spec.subsets = subsets;
  return whole;
}

/** Changed only if it has to be. */
function subsetsToo(basis: Basis, rest: Tree): Tree[] {
  const rule = withSubsets(basis);
  return JSON.stringify(rule) === JSON.stringify(basis.destinationRule) ? [rest] : [rule, rest];
}

function number(answers: Answers, name: string, otherwise: number): number {
  const value = Number(answers[name] ?? otherwise);
  return Number.isFinite(value) ? value : otherwise;
}

/** Equal shares by default: the first gets what is left. */
function shares(basis: Basis): Field[] {
  return basis.versions.map((v, at) => ({
    name: `weight-${v.name}`,
    label: `To ${v.name}`,
    otherwise: at === 0 ? String(basis.versions.length > 1 ? 90 : 100) : at === 1 ? '10' : '0',
    kind: 'number',
    unit: '%',
  }));
}

const split: Wizard = {
  id: 'split',
  name: 'Canary split',
  about: 'Requests are shared between versions by weight; the rollouts page compares them.',
  fields: shares,
  make: (basis, answers) => {
    const fields = shares(basis);
    const weights = basis.versions.map((v, at) => ({
      version: v.name,
      weight: number(answers, `weight-${v.name}`, Number(fields[at]?.otherwise ?? 0)),
    }));
    const route = weights
      .filter((w) => w.weight > 0)
      .map((w) => ({ destination: { host: basis.name, subset: w.version }, weight: w.weight }));
    return subsetsToo(
      basis,
      withRules(basis, (rule) => [{ ...rule, route }]),
    );
  },
};

const fault: Wizard = {
  id: 'fault',
  name: 'Fault injection',
  about:
    'Some requests are refused or held up on purpose, to see what callers make of it. Remove it when the drill is over.',
  fields: () => [
    { name: 'kind', label: 'What', otherwise: 'abort', kind: 'choice', choices: ['abort', 'delay'] },
    {
      name: 'percent',
      label: 'Of the requests',
      otherwise: '10',
      kind: 'number',
      unit: '%',
    },
    { name: 'status', label: 'Status of an abort', otherwise: '503', kind: 'number' },
    { name: 'delay', label: 'Length of a delay', otherwise: '2', kind: 'number', unit: 's' },
    { name: 'header', label: 'Only with this header', otherwise: '', kind: 'text', unit: 'name=value; empty for all' },
  ],
  make: (basis, answers) => {
    const percentage = { value: number(answers, 'percent', 10) };
    const what =
      answers.kind === 'delay'
        ? { delay: { fixedDelay: `${number(answers, 'delay', 2)}s`, percentage } }
        : { abort: { httpStatus: number(answers, 'status', 503), percentage } };
    const [header = '', value = ''] = (answers.header ?? '').split('=', 2);
    return [
      withRules(basis, (rule) =>
        header && value
          ? [
              {
                match: [{ headers: { [header.trim()]: { exact: value.trim() } } }],
                ...without(rule, 'match', 'name'),
                fault: what,
              },
              rule,
            ]
          : [{ ...rule, fault: what }],
      ),
    ];
  },
};

function without(rule: Rule, ...names: string[]): Rule {
  return Object.fromEntries(Object.entries(copyOf(rule)).filter(([name]) => !names.includes(name)));
}

const timeout: Wizard = {
  id: 'timeout',
  name: 'Timeout and retries',
  about: 'How long a request may take with all its tries, and on what it is tried again.',
  fields: () => [
    { name: 'timeout', label: 'Whole request', otherwise: '10', kind: 'number', unit: 's; 0 for no limit' },
    {
      name: 'attempts',
      label: 'Retries',
      otherwise: '2',
      kind: 'number',
      unit: 'besides the first try',
    },
    { name: 'perTry', label: 'Each try', otherwise: '2', kind: 'number', unit: 's' },
    {
      name: 'on',
      label: 'On',
      otherwise: '5xx',
      kind: 'choice',
      choices: ['5xx', 'gateway-error', 'connect-failure,refused-stream', 'reset', 'cancelled,unavailable'],
    },
  ],
  make: (basis, answers) => {
    const [limit, attempts, each] = [
      number(answers, 'timeout', 10),
      number(answers, 'attempts', 2),
      number(answers, 'perTry', 2),
    ];
    const retries =
      attempts > 0
        ? { attempts, ...(each > 0 ? { perTryTimeout: `${each}s` } : {}), retryOn: answers.on ?? '5xx' }
        : { attempts: 0 };
    return [withRules(basis, (rule) => [{ ...rule, ...(limit > 0 ? { timeout: `${limit}s` } : {}), retries }])];
  },
};

const breaker: Wizard = {
  id: 'breaker',
  name: 'Circuit breaker',
  about: 'Limits of what is under way at a time, and endpoints that fail are left alone for a while.',
  fields: () => [
    { name: 'connections', label: 'Connections', otherwise: '100', kind: 'number', unit: 'per client' },
    { name: 'pending', label: 'Waiting requests', otherwise: '50', kind: 'number', unit: 'per client' },
    { name: 'errors', label: 'Eject after', otherwise: '5', kind: 'number', unit: 'times 5xx in a row' },
    { name: 'interval', label: 'Looked at every', otherwise: '10', kind: 'number', unit: 's' },
    { name: 'ejection', label: 'Ejected for', otherwise: '30', kind: 'number', unit: 's, each time longer' },
    {
      name: 'most',
      label: 'Of all, at most',
      otherwise: '50',
      kind: 'number',
      unit: '%',
    },
  ],
  make: (basis, answers) => {
    const whole = copyOf(basis.destinationRule ?? destinationRule(basis));
    const spec = whole.spec as Tree;
    spec.trafficPolicy = {
      ...(spec.trafficPolicy as Tree | undefined),
      connectionPool: {
        tcp: { maxConnections: number(answers, 'connections', 100) },
        http: { http1MaxPendingRequests: number(answers, 'pending', 50) },
      },
      outlierDetection: {
        consecutive5xxErrors: number(answers, 'errors', 5),
        interval: `${number(answers, 'interval', 10)}s`,
        baseEjectionTime: `${number(answers, 'ejection', 30)}s`,
        maxEjectionPercent: number(answers, 'most', 50),
      },
    };
    return [whole];
  },
};

const mirror: Wizard = {
  id: 'mirror',
  name: 'Mirror',
  about: 'Copies of requests go to another version; its answers are thrown away.',
  fields: (basis) => [
    {
      name: 'to',
      label: 'Copies go to',
      otherwise: basis.versions.at(-1)?.name ?? '',
      kind: 'choice',
      choices: basis.versions.map((v) => v.name),
    },
    {
      name: 'percent',
      label: 'Of the requests',
      otherwise: '100',
      kind: 'number',
      unit: '%',
    },
  ],
  make: (basis, answers) => {
    const subset = answers.to ?? basis.versions.at(-1)?.name ?? '';
    const mirrored = {
      mirror: { host: basis.name, subset },
      mirrorPercentage: { value: number(answers, 'percent', 100) },
    };
    return subsetsToo(
      basis,
      withRules(basis, (rule) => [{ ...rule, ...mirrored }]),
    );
  },
};

export const WIZARDS: Wizard[] = [split, fault, timeout, breaker, mirror];
