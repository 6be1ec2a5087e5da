// Icons, drawn with one line each.

const PATHS: Record<string, string> = {
  brand: 'M4 6c5 3 11 3 16 0M4 12c5 3 11 3 16 0M4 18c5 3 11 3 16 0M8 5c2.5 4.5 2.5 9.5 0 14M16 5c2.5 4.5 2.5 9.5 0 14',
  home: 'M3 12h4l2.5-7 4 14 3-10 1.5 3H21',
  graph:
    'M6 9a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM18 13a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 21a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8.8 7.2l6.4 2M15.6 11.8l-5.2 4.4',
  services: 'M4 5h16v5H4zM4 14h16v5H4zM8 7.5h.01M8 16.5h.01',
  requests: 'M4 7h13l-3-3M20 17H7l3 3M4 12h16',
  traces: 'M4 6h10M8 11h9M11 16h5M14 20h6',
  config: 'M6 3h9l4 4v14H6zM14 3v5h5M9 12h7M9 16h5',
  security: 'M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6zM9 12l2.2 2.2L15.5 10',
  rollouts: 'M5 20V9M12 20V4M19 20v-8M3 20h18',
  control: 'M5 5h14v10H5zM9 20h6M12 15v5M9 9h6M9 12h3',
};

export function Icon({ name }: { name: string }) {
  return (
    <svg
      class="svg"
      viewBox="0 0 24 24"
      width="18"
      height="18"
      aria-hidden="true"
      fill="none"
      stroke="currentColor"
      stroke-width="1.7"
      stroke-linecap="round"
      stroke-linejoin="round"
    >
      <path d={PATHS[name] ?? ''} />
    </svg>
  );
}
