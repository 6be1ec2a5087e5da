// An editor for YAML. It is loaded when it is needed, and lives in a shadow root: there it brings its styles as style sheets, which
// the page's security policy allows, and not as text.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Mark } from './editor-core';

interface Props {
  label: string;
  text: string;
  /** Changes when `text` is to replace what stands in the editor; what is typed goes one way only. */
  revision: string;
  marks?: Mark[];
  readOnly?: boolean;
  onChange?: (text: string) => void;
  /** What Ctrl and Enter do. */
  onApply?: () => void;
}

export function Editor({ label, text, revision, marks = [], readOnly = false, onChange, onApply }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const made = useRef<import('./editor-core').Made | undefined>(undefined);
  const [wrong, fail] = useState('');
  const latest = useRef({ text, marks, onChange, onApply });
  latest.current = { text, marks, onChange, onApply };
  useEffect(() => {
    let over = false;
    import('./editor-core').then(
      ({ make }) => {
        if (over || !host.current) return;
        const root = host.current.shadowRoot ?? host.current.attachShadow({ mode: 'open' });
        made.current = make(
          root,
          latest.current.text,
          label,
          readOnly,
          (t) => latest.current.onChange?.(t),
          () => latest.current.onApply?.(),
        );
        made.current.mark(latest.current.marks);
      },
      () => fail('The editor could not be loaded: reload the page.'),
    );
    return () => {
      over = true;
      made.current?.close();
      made.current = undefined;
    };
  }, [label, readOnly]);
  useEffect(() => made.current?.put(latest.current.text), [revision]);
  useEffect(() => made.current?.mark(marks), [marks]);
  if (wrong)
    return (
      <textarea
        class="editor-plain"
        aria-label={label}
        value={text}
        readOnly={readOnly}
        onInput={(e) => onChange?.((e.target as HTMLTextAreaElement).value)}
      />
    );
  return <div ref={host} class="editor" />;
}
