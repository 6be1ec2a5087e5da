// Trees as YAML, in the form in which the control plane writes them: two spaces, keys in their order.

/** What a reader would take for something else than a text. */
const OTHER =
  /^(?:$|[\s\-?:,[\]{}#&*!|>'"%@`]|.*(?::\s|\s#|\s$)|.*:$|(?:true|false|null|yes|no|on|off|~|\.inf|\.nan)$|[-+.]?\d[\d_.e+:-]*$|0[xo][\da-f]+$)/i;

function scalar(value: unknown): string {
  if (typeof value === 'string') return OTHER.test(value) || /[\n\t]/.test(value) ? JSON.stringify(value) : value;
  if (Array.isArray(value)) return '[]';
  if (value !== null && typeof value === 'object') return '{}';
  return String(value ?? null);
}

function entries(value: object): [string, unknown][] {
  return Object.entries(value).filter(([, v]) => v !== undefined);
}

function nested(value: unknown): value is object {
  if (Array.isArray(value)) return value.length > 0;
  return value !== null && typeof value === 'object' && entries(value).length > 0;
}

function lines(value: unknown): string[] {
  if (!nested(value)) return [scalar(value)];
  if (Array.isArray(value)) {
    return value.flatMap((item) => {
      const [first = '', ...rest] = lines(item);
      return [`- ${first}`, ...rest.map((line) => `  ${line}`)];
    });
  }
  return entries(value).flatMap(([key, item]) => {
    if (!nested(item)) return [`${scalar(key)}: ${scalar(item)}`];
    return [`${scalar(key)}:`, ...lines(item).map((line) => `  ${line}`)];
  });
}

/** One document, or several. */
export function yaml(...documents: unknown[]): string {
  return documents.map((one) => `${lines(one).join('\n')}\n`).join('---\n');
}
