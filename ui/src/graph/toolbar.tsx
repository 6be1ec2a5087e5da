// What the graph tells, what is looked for in it, and with what it is compared.
import { option, set } from '../lib/router';
import { Choice } from '../parts/bits';
import { OPERANDS, parse } from './find';
import { LENSES } from './lens';

export function Toolbar({ table }: { table: boolean }) {
  const lens = option('lens', 'errors');
  return (
    <div class="toolbar">
      <Choice
        label="What colours tell"
        name="lens"
        value={lens}
        options={LENSES}
        onPick={(id) => set({ lens: id === 'errors' ? '' : id })}
      />
      <Question name="find" label="Find" />
      <Question name="hide" label="Hide" />
      <Choice
        label="Form"
        name="view"
        value={table ? 'table' : 'graph'}
        options={[
          { id: 'graph', name: 'Graph' },
          { id: 'table', name: 'Table' },
        ]}
        onPick={(id) => set({ view: id === 'table' ? 'table' : '' }, true)}
      />
      <label class="check" title="Dots along the calls, as many and as fast as there are calls">
        <input
          type="checkbox"
          checked={option('motion') === '1'}
          onChange={(e) => set({ motion: (e.target as HTMLInputElement).checked ? 1 : '' })}
        />
        Motion
      </label>
      <label class="check" title="Also what had no traffic in the window">
        <input
          type="checkbox"
          checked={option('idle') === '1'}
          onChange={(e) => set({ idle: (e.target as HTMLInputElement).checked ? 1 : '' })}
        />
        Idle
      </label>
      {option('focus') && (
        <span class="chip">
          {option('hops', '1')} {option('hops', '1') === '1' ? 'step' : 'steps'} around{' '}
          {option('focus').split('/').pop()}
          {option('hops', '1') === '1' && (
            <button type="button" class="link" onClick={() => set({ hops: 2 })}>
              two steps
            </button>
          )}
          <button type="button" class="link" onClick={() => set({ focus: '', hops: '' })}>
            show all
          </button>
        </span>
      )}
    </div>
  );
}

const PRESETS: [string, string][] = [
  ['! healthy', 'what is not healthy'],
  ['%httperr > 1', 'more than 1 % of requests fail or are refused'],
  ['responsetime > 250', '95th percentile over 250 ms'],
  ['! mtls', 'not encrypted'],
  ['ns = default and version = v2', 'a namespace and a version'],
  ['(rank <= 2 or outside) and ! trafficsource', 'with parentheses'],
];

function Question({ name, label }: { name: 'find' | 'hide'; label: string }) {
  const text = option(name);
  let problem = '';
  if (text) {
    try {
      parse(text);
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
  }
  const complete = (event: KeyboardEvent) => {
    const input = event.target as HTMLInputElement;
    if (event.key === 'Escape' && input.value) {
      set({ [name]: '' });
      return;
    }
    if (event.key !== 'Tab' || event.shiftKey) return;
    const word = /[\w%]+$/.exec(input.value.slice(0, input.selectionStart ?? 0))?.[0];
    const match = word && OPERANDS.find((o) => o.startsWith(word.toLowerCase()) && o !== word.toLowerCase());
    // Tab completes; where there is nothing to complete it goes on, as everywhere.
    if (!match) return;
    event.preventDefault();
    set({ [name]: input.value.slice(0, (input.selectionStart ?? 0) - word.length) + match });
  };
  return (
    <div class="question">
      <label>
        <span class="hidden-text">{label} in the graph</span>
        <input
          id={`graph-${name}`}
          type="search"
          list={`presets-${name}`}
          value={text}
          placeholder={`${label}…`}
          autocomplete="off"
          spellcheck={false}
          aria-invalid={problem !== ''}
          aria-describedby={problem ? `problem-${name}` : undefined}
          onInput={(e) => set({ [name]: (e.target as HTMLInputElement).value })}
          onKeyDown={complete}
        />
      </label>
      <datalist id={`presets-${name}`}>
        {PRESETS.map(([query, about]) => (
          <option key={query} value={query}>
            {about}
          </option>
        ))}
      </datalist>
      {problem && (
        <p id={`problem-${name}`} class="question-problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  );
}
