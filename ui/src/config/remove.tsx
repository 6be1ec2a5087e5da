// Deleting a resource, after a question.
import { useRef, useState } from 'preact/hooks';
import { ask, session } from '../lib/api';
import { named } from '../lib/changes';
import { go, link } from '../lib/router';
import { type Detail, pathOf, told } from './types';

export function Remove({ resource }: { resource: Detail }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [wrong, fail] = useState('');
  if (!resource.writable || !session.value?.canWrite) return null;
  const remove = async () => {
    try {
      await ask(pathOf(resource.id), { method: 'DELETE' });
      dialog.current?.close();
      go(link(['config'], { tab: 'history' }));
    } catch (error) {
      fail(told(error));
    }
  };
  return (
    <>
      <button type="button" class="button danger" onClick={() => dialog.current?.showModal()}>
        Delete
      </button>
      <dialog ref={dialog} class="dialog" aria-labelledby="remove-title">
        <h2 id="remove-title">Delete {named(resource)}?</h2>
        <p>
          What it says ends at once for {resource.programmed.of} {resource.programmed.of === 1 ? 'proxy' : 'proxies'}.
          Its versions are kept: it can be applied again from the history.
        </p>
        {wrong && (
          <p role="alert" class="tone-bad">
            {wrong}
          </p>
        )}
        <div class="actions">
          <button type="button" class="button" onClick={() => dialog.current?.close()}>
            Keep it
          </button>
          <button type="button" class="button danger" onClick={remove}>
            Delete
          </button>
        </div>
      </dialog>
    </>
  );
}
