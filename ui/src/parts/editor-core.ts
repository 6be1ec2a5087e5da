import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { yaml } from '@codemirror/lang-yaml';
import { bracketMatching, foldGutter, HighlightStyle, indentUnit, syntaxHighlighting } from '@codemirror/language';
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from '@codemirror/lint';
import { highlightSelectionMatches, searchKeymap } from '@codemirror/search';
import { EditorState } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';

export interface Mark {
  severity: 'error' | 'warning' | 'info';
  message: string;
  line: number | null;
  column: number | null;
}

export interface Made {
  put: (text: string) => void;
  mark: (marks: Mark[]) => void;
  close: () => void;
}

const look = EditorView.theme({
  '&': { height: '100%', fontSize: '13px', color: 'var(--text)', backgroundColor: 'var(--surface)' },
  '.cm-scroller': {
    fontFamily: "ui-monospace, 'SF Mono', 'Cascadia Code', 'DejaVu Sans Mono', monospace",
    lineHeight: '1.55',
  },
  '.cm-gutters': {
    backgroundColor: 'var(--sunken)',
    color: 'var(--muted)',
    border: '0',
    borderRight: '1px solid var(--line)',
  },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'var(--accent-tint)' },
  '.cm-content': { caretColor: 'var(--text)' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '&.cm-focused': { outline: 'none' },
  '&.cm-focused .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'var(--line-strong)' },
  '.cm-tooltip, .cm-panels': {
    backgroundColor: 'var(--raised)',
    color: 'var(--text)',
    border: '1px solid var(--line-strong)',
  },
  '.cm-diagnostic': { padding: '5px 9px', whiteSpace: 'pre-wrap', maxWidth: '560px' },
  '.cm-diagnostic-error': { borderLeftColor: 'var(--bad)' },
  '.cm-diagnostic-warning': { borderLeftColor: 'var(--warn)' },
});

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--accent)' },
  { tag: [tags.string, tags.content], color: 'var(--text)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--series4)' },
  { tag: tags.comment, color: 'var(--muted)', fontStyle: 'italic' },
  { tag: [tags.keyword, tags.meta], color: 'var(--series2)' },
]);

export function make(
  root: ShadowRoot,
  text: string,
  label: string,
  readOnly: boolean,
  onChange: (text: string) => void,
  onApply: () => void,
): Made {
  let quiet = false;
  const view = new EditorView({
    parent: root,
    root,
    state: EditorState.create({
      doc: text,
      extensions: [
        lineNumbers(),
        foldGutter(),
        history(),
        drawSelection(),
        bracketMatching(),
        highlightActiveLine(),
        highlightSelectionMatches(),
        lintGutter(),
        yaml(),
        indentUnit.of('  '),
        look,
        syntaxHighlighting(colours),
        EditorState.readOnly.of(readOnly),
        // Escape, then Tab leaves the editor: nobody is caught in it.
        keymap.of([
          {
            key: 'Mod-Enter',
            run: () => {
              onApply();
              return true;
            },
          },
        ]),
        keymap.of([...defaultKeymap, ...historyKeymap, ...searchKeymap, ...lintKeymap, indentWithTab]),
        EditorView.contentAttributes.of({ 'aria-label': label, tabindex: '0' }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged && !quiet) onChange(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    put: (next) => {
      const { doc } = view.state;
      if (doc.toString() === next) return;
      quiet = true;
      view.dispatch({ changes: { from: 0, to: doc.length, insert: next } });
      quiet = false;
    },
    mark: (marks) =>
      view.dispatch(
        setDiagnostics(
          view.state,
          marks.map((m) => placed(m, view.state)),
        ),
      ),
    close: () => view.destroy(),
  };
}

function placed(mark: Mark, state: EditorState): Diagnostic {
  const line = state.doc.line(Math.max(1, Math.min(state.doc.lines, mark.line ?? 1)));
  const from = Math.min(line.to, line.from + Math.max(0, (mark.column ?? 1) - 1));
  return { from, to: Math.max(from, line.to), severity: mark.severity, message: mark.message };
}
