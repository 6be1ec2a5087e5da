// "Copy as": the same view as a command, a query, a link.
import { useRef, useState } from 'preact/hooks';

export interface Copyable {
  name: string;
  text: string;
}

export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without a secure context there is no clipboard; a selection can be copied all the same.
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

let serial = 0;

export function CopyMenu({
  items,
  label = 'Copy as',
  of,
}: {
  items: Copyable[];
  label?: string;
  /** What it is a part of: then it is small. */
  of?: string;
}) {
  const [said, say] = useState('');
  const id = useRef(`copy-${++serial}`).current;
  const panel = useRef<HTMLDivElement>(null);
  const pick = async (item: Copyable) => {
    say((await copy(item.text)) ? `${item.name} copied` : 'The browser did not let it be copied');
    setTimeout(() => panel.current?.hidePopover?.(), 700);
    setTimeout(() => say(''), 2500);
  };
  const link = { name: 'Link to this view', text: location.href };
  return (
    <span class="copy">
      <button type="button" class={of ? 'link quiet' : 'button'} popovertarget={id}>
        {label}
        {of && <span class="hidden-text"> of {of}</span>}
      </button>
      <div
        id={id}
        ref={panel}
        popover="auto"
        class="menu"
        onToggle={(event) => {
          const button = document.querySelector(`[popovertarget="${id}"]`);
          if (event.newState === 'open' && button && panel.current) near(panel.current, button);
        }}
      >
        {[...items.filter((i) => i.text), ...(of ? [] : [link])].map((item) => (
          <button type="button" class="menu-item" key={item.name} onClick={() => pick(item)}>
            <span>{item.name}</span>
            <code>{item.text}</code>
          </button>
        ))}
      </div>
      <span class="hidden-text" role="status">
        {said}
      </span>
      {said && <span class="said">{said}</span>}
    </span>
  );
}

function near(panel: HTMLElement, button: Element): void {
  const box = button.getBoundingClientRect();
  const width = Math.min(440, innerWidth - 16);
  panel.style.width = `${width}px`;
  panel.style.left = `${Math.max(8, Math.min(box.right - width, innerWidth - width - 8))}px`;
  panel.style.top = `${Math.min(box.bottom + 6, innerHeight - panel.offsetHeight - 8)}px`;
}

/** A command with a button beside it. */
export function Command({ text }: { text: string }) {
  const [done, put] = useState(false);
  return (
    <span class="command">
      <code>{text}</code>
      <button
        type="button"
        class="link"
        aria-label={`Copy ${text}`}
        onClick={async () => {
          put(await copy(text));
          setTimeout(() => put(false), 1500);
        }}
      >
        {done ? 'copied' : 'copy'}
      </button>
    </span>
  );
}
