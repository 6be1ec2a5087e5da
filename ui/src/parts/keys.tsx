// What the keyboard does, as a sheet that `?` opens.
import { useEffect, useRef } from 'preact/hooks';

const ROWS: [string, string][] = [
  ['g then h g s r t', 'Health, Graph, Services, Requests, Traces'],
  ['g then c e o p', 'Configuration, Security, Rollouts, Proxies'],
  ['/', 'to the first filter'],
  ['?', 'this sheet'],
  ['Escape', 'closes details, empties a filter; in the editor, then Tab leaves it'],
  ['arrows', 'in the graph: along the busiest call, and to neighbours'],
  ['Enter', 'in the graph: details'],
  ['+ − 0', 'in the graph: nearer, farther, everything'],
  ['Tab', 'in Find and Hide: completes a name'],
  ['Ctrl Enter', 'in the editor: applies'],
];

const OPEN = 'tulle-keys';

export function showKeys(): void {
  dispatchEvent(new Event(OPEN));
}

export function Keys() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const open = () => {
      if (!dialog.current?.open) dialog.current?.showModal();
    };
    addEventListener(OPEN, open);
    return () => removeEventListener(OPEN, open);
  }, []);
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="keys-title">
      <h2 id="keys-title">Keys</h2>
      <dl class="keys">
        {ROWS.map(([key, does]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <div class="actions">
        <button type="button" class="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </div>
    </dialog>
  );
}
