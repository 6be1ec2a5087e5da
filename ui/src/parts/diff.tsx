// A difference as lines that came and went.

export function Diff({ unified }: { unified: string }) {
  const lines = unified.replace(/\n$/, '').split('\n');
  return (
    // What can be scrolled must be reachable by keyboard.
    <pre class="diff" tabIndex={0}>
      {lines.map((line, at) => {
        const kind = /^(@@|---|\+\+\+)/.test(line)
          ? 'at'
          : line.startsWith('+')
            ? 'plus'
            : line.startsWith('-')
              ? 'minus'
              : '';
        const words = kind === 'plus' ? 'added: ' : kind === 'minus' ? 'removed: ' : '';
        return (
          // Lines have no other name than their place.
          <span key={`${at}${line}`} class={kind ? `diff-${kind}` : ''}>
            {words && <span class="hidden-text">{words}</span>}
            {line}
            {'\n'}
          </span>
        );
      })}
    </pre>
  );
}
