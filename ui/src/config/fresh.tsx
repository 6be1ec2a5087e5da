// New configuration: a text, or a few questions whose answers make one.
import { useMemo, useState } from 'preact/hooks';
import { timing } from '../lib/live';
import { link, option, set } from '../lib/router';
import { useAsk } from '../lib/use';
import { yaml } from '../lib/yaml';
import type { ServiceDetail } from '../pages/service';
import { Card, Tabs, Title } from '../parts/bits';
import type { ServiceRow } from '../parts/services';
import { Note, Show } from '../parts/state';
import { Edit } from './edit';
import { type Detail, pathOf, type Tree } from './types';
import { type Answers, type Basis, type Field, WIZARDS, type Wizard } from './wizards';

const FRESH = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: example
  namespace: default
spec:
  hosts:
    - reviews
  http:
    - route:
        - destination:
            host: reviews
`;

export function Fresh() {
  const wizard = WIZARDS.find((w) => w.id === option('wizard'));
  const host = option('host');
  return (
    <>
      <Title sub="Checked against the mesh as you type; applied all or none; every version is kept.">Apply</Title>
      <Tabs
        current={wizard?.id ?? 'yaml'}
        href={(id) => link(['config', 'new'], { wizard: id === 'yaml' ? '' : id, host })}
        tabs={[{ id: 'yaml', name: 'YAML' }, ...WIZARDS.map(({ id, name }) => ({ id, name }))]}
      />
      {wizard ? (
        <Guided key={wizard.id} wizard={wizard} />
      ) : (
        <Edit resource={null} path="resources" seed={FRESH} again={() => undefined} />
      )}
    </>
  );
}

/** Which service it is about; then the questions. */
function Guided({ wizard }: { wizard: Wizard }) {
  const host = option('host');
  const services = useAsk<{ services: ServiceRow[] }>(`services?${timing()}`, 'configuration');
  return (
    <>
      <p class="muted">{wizard.about}</p>
      <div class="toolbar">
        <label class="field select">
          <span>Service</span>
          <select value={host} onChange={(e) => set({ host: (e.target as HTMLSelectElement).value, rule: '' })}>
            <option value="">choose</option>
            {[...(services.data?.services ?? [])]
              .sort((a, b) => a.id.localeCompare(b.id))
              .map((s) => (
                <option key={s.id} value={s.id}>
                  {s.id}
                </option>
              ))}
          </select>
        </label>
      </div>
      {host ? (
        <OfService key={host} wizard={wizard} host={host} />
      ) : (
        <Note title="Which service is it about?">Choose one above; the rest follows from what is known of it.</Note>
      )}
    </>
  );
}

function OfService({ wizard, host }: { wizard: Wizard; host: string }) {
  const loaded = useAsk<ServiceDetail>(
    `services/${host.split('/').map(encodeURIComponent).join('/')}?${timing()}`,
    'configuration',
  );
  return (
    <Show of={loaded}>
      {(service) => {
        const rules = service.resources.filter((r) => r.kind === 'VirtualService');
        const wanted = rules.find((r) => r.id === option('rule')) ?? rules[0];
        const destination = service.resources.find((r) => r.kind === 'DestinationRule');
        return (
          <>
            {rules.length > 1 && (
              <label class="field select">
                <span>Change</span>
                <select value={wanted?.id ?? ''} onChange={(e) => set({ rule: (e.target as HTMLSelectElement).value })}>
                  {rules.map((r) => (
                    <option key={r.id} value={r.id}>
                      {r.kind} {r.namespace}/{r.name}
                    </option>
                  ))}
                </select>
              </label>
            )}
            <WithRules
              wizard={wizard}
              service={service}
              rule={wanted?.id ?? null}
              destination={destination?.id ?? null}
            />
          </>
        );
      }}
    </Show>
  );
}

function WithRules({
  wizard,
  service,
  rule,
  destination,
}: {
  wizard: Wizard;
  service: ServiceDetail;
  rule: string | null;
  destination: string | null;
}) {
  const routes = useAsk<Detail>(rule && pathOf(rule), 'configuration');
  const policies = useAsk<Detail>(destination && pathOf(destination), 'configuration');
  // What is there has to be known before it is changed.
  if ((rule && !routes.data) || (destination && !policies.data)) {
    return <Show of={rule && !routes.data ? routes : policies}>{() => null}</Show>;
  }
  const basis: Basis = {
    namespace: service.namespace,
    name: service.kind === 'entry' ? service.host : service.name,
    versions: versionsOf(service),
    virtualService: (routes.data?.object as Tree | undefined) ?? null,
    destinationRule: (policies.data?.object as Tree | undefined) ?? null,
  };
  return <Questions wizard={wizard} basis={basis} />;
}

/** Subsets that are named; where none are, the versions of its workloads. */
function versionsOf(service: ServiceDetail): Basis['versions'] {
  if (service.subsets.length > 0) return service.subsets.map(({ name, labels }) => ({ name, labels }));
  const versions = [...new Set(service.endpoints.list.map((e) => e.version).filter(Boolean))].sort();
  return versions.map((name) => ({ name, labels: [`version=${name}`] }));
}

function Questions({ wizard, basis }: { wizard: Wizard; basis: Basis }) {
  const fields = wizard.fields(basis);
  const answers: Answers = Object.fromEntries(fields.map((f) => [f.name, option(`f.${f.name}`, f.otherwise)]));
  const key = JSON.stringify([answers, basis]);
  // The key says all that the text depends on
  const text = useMemo(() => yaml(...wizard.make(basis, answers)), [key]);
  if ((wizard.id === 'split' || wizard.id === 'mirror') && basis.versions.length < 2) {
    return (
      <Note title={`${basis.namespace}/${basis.name} has no versions to tell apart.`}>
        Run a second version of it with another value of the label “version”, or name subsets in a DestinationRule.
      </Note>
    );
  }
  const total = fields.filter((f) => f.name.startsWith('weight-')).reduce((sum, f) => sum + Number(answers[f.name]), 0);
  return (
    <div class="guided">
      <Card title={`${wizard.name} for ${basis.namespace}/${basis.name}`}>
        <div class="questions">
          {fields.map((f) => (
            <Question key={f.name} field={f} value={answers[f.name] ?? ''} />
          ))}
        </div>
        {wizard.id === 'split' && total !== 100 && (
          <p role="alert" class="tone-bad">
            The shares make {total} %, they should make 100 %.
          </p>
        )}
        <p class="muted">
          {basis.virtualService || basis.destinationRule
            ? 'What is configured already is kept; “Show the difference” tells what changes.'
            : 'Nothing is configured for it yet: this makes it.'}
        </p>
      </Card>
      <Edit resource={null} path="resources" seed={text} again={() => undefined} />
    </div>
  );
}

function Question({ field, value }: { field: Field; value: string }) {
  const name = `f.${field.name}`;
  // What is typed stays as it is; an empty field means what it is if nothing is said.
  const [text, type] = useState(value);
  const put = (event: Event) => {
    const to = (event.target as HTMLInputElement | HTMLSelectElement).value;
    type(to);
    set({ [name]: to === field.otherwise ? '' : to });
  };
  return (
    <div class="answer">
      <label for={name}>{field.label}</label>
      {field.kind === 'choice' ? (
        <select id={name} value={value} onChange={put}>
          {field.choices?.map((c) => (
            <option key={c} value={c}>
              {c}
            </option>
          ))}
        </select>
      ) : (
        <input
          id={name}
          aria-describedby={field.unit ? `${name}.unit` : undefined}
          type="text"
          inputMode={field.kind === 'number' ? 'decimal' : 'text'}
          value={text}
          placeholder={field.otherwise}
          onInput={put}
        />
      )}
      {field.unit && (
        <span class="muted" id={`${name}.unit`}>
          {field.unit}
        </span>
      )}
    </div>
  );
}
