// What nodes are called.

/** What a node is called on its card: the app and, apart, the version; else its name and what it is. */
export function named(node: { kind: string; name: string; app: string; version: string }): {
  title: string;
  tag: string;
} {
  if (node.kind === 'workload') {
    const suffix = node.version ? `-${node.version}` : '';
    const isApp = node.app !== '' && suffix !== '' && node.name === `${node.app}${suffix}`;
    return isApp ? { title: node.app, tag: node.version } : { title: node.name, tag: '' };
  }
  if (node.kind === 'unknown') return { title: 'unknown', tag: 'outside' };
  return { title: node.name, tag: node.kind === 'external' ? 'outside' : 'service' };
}
