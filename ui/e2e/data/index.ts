// Answers in the shape of the control plane's, for tests of pages without a mesh.
export * from './config';
export * from './large';
export * from './overview';
export * from './proxies';
export * from './requests';
export * from './rollouts';
export * from './security';
export * from './services';
export { graph } from './shared';
export * from './traces';
