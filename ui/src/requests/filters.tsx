// Which requests are wanted: in the address, as parameters of the API and as options of the command.
import { option, set } from '../lib/router';
import { Filter, Select } from '../parts/bits';

const FILTERS = [
  'source',
  'destination',
  'service',
  'namespace',
  'method',
  'path',
  'status',
  'flags',
  'min_duration',
  'reporter',
  'request_id',
  'trace_id',
  'errors',
];

export function filters(): string {
  const query = new URLSearchParams();
  for (const name of FILTERS) if (option(name)) query.set(name, option(name));
  return query.toString();
}

export function command(): string {
  const parts = FILTERS.flatMap((name) => {
    const value = option(name);
    // The command knows requests, not traces.
    if (!value || name === 'trace_id') return [];
    const flag = `--${name.replace('_', '-')}`;
    return value === 'true'
      ? [flag]
      : [`${flag} ${/^[\w./:-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`}`];
  });
  return ['tulle tap', ...parts].join(' ');
}

export function Filters() {
  return (
    <div class="toolbar">
      <Filter name="source" label="From" placeholder="From workload" />
      <Filter name="destination" label="To" placeholder="To workload" />
      <Filter name="path" label="Path begins with" placeholder="Path begins with /" />
      <Select
        name="status"
        label="Status"
        options={['', '2xx', '3xx', '4xx', '5xx', '0'].map((id) => ({
          id,
          name: id === '' ? 'any' : id === '0' ? 'no answer' : id,
        }))}
      />
      <Select
        name="method"
        label="Method"
        options={['', 'GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'].map((id) => ({
          id,
          name: id || 'any',
        }))}
      />
      <Select
        name="reporter"
        label="Told by"
        options={[
          { id: '', name: 'both sides' },
          { id: 'source', name: 'the client' },
          { id: 'destination', name: 'the server' },
        ]}
      />
      <label class="check">
        <input
          type="checkbox"
          checked={option('errors') === 'true'}
          onChange={(e) => set({ errors: (e.target as HTMLInputElement).checked ? 'true' : '' })}
        />
        Errors only
      </label>
      <span class="hidden-chips">
        {['service', 'namespace', 'flags', 'min_duration', 'request_id', 'trace_id'].map(
          (name) =>
            option(name) && (
              <span class="chip" key={name}>
                {name.replace('_', ' ')}: {option(name)}
                <button
                  type="button"
                  class="link"
                  aria-label={`Remove the filter ${name}`}
                  onClick={() => set({ [name]: '' })}
                >
                  ×
                </button>
              </span>
            ),
        )}
      </span>
    </div>
  );
}
