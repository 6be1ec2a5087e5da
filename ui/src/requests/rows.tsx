// The requests, newest first, one of them explained.
import { millis } from '../lib/format';
import { option, set } from '../lib/router';
import { flagWords } from '../lib/words';
import { Note } from '../parts/state';
import { hasFailed } from './by-kind';
import { Explained } from './explained';
import type { Request } from './record';

export function Rows({ rows, loading }: { rows: Request[]; loading: boolean }) {
  const open = option('open');
  if (rows.length === 0) {
    if (loading) {
      return (
        <div class="loading" role="status">
          <span class="bar" />
          <span class="bar" />
          <span class="hidden-text">Loading</span>
        </div>
      );
    }
    return (
      <Note title="No request has come that passes these filters.">
        It waits for more: what comes is shown here at once.
      </Note>
    );
  }
  return (
    <div class="table-box" role="region" aria-label="Requests" tabIndex={0}>
      <table class="requests">
        <caption class="hidden-text">Requests, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Status</th>
            <th scope="col">Request</th>
            <th scope="col" class="wide">
              From
            </th>
            <th scope="col" class="wide">
              To
            </th>
            <th scope="col" class="num">
              Took
            </th>
            <th scope="col" class="wide">
              Kept as
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((r) => (
            <Row key={r.seq} r={r} open={open === String(r.seq)} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function status(r: Request): string {
  return hasFailed(r) ? 'bad' : r.status >= 400 ? 'warn' : 'good';
}

function stamp(time: number): string {
  const at = new Date(time);
  return `${at.toLocaleTimeString('en-GB')}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}

function Row({ r, open }: { r: Request; open: boolean }) {
  return (
    <>
      <tr class={open ? 'selected' : ''}>
        <td class="mono">{stamp(r.time)}</td>
        <td>
          <span class={`status tone-${status(r)}`}>{r.status === 0 ? 'none' : r.status}</span>
          {r.grpc_status !== null && <span class="muted"> grpc {r.grpc_status}</span>}
          {r.flags !== '-' && r.flags !== '' && (
            <span class="flag" title={r.flags.split(',').map(flagWords).join('; ')}>
              {r.flags}
            </span>
          )}
        </td>
        <th scope="row">
          <button
            type="button"
            class="link break"
            aria-expanded={open}
            onClick={() => set({ open: open ? '' : r.seq })}
          >
            <b>{r.method}</b> {r.path}
          </button>
        </th>
        <td class="wide">{r.source.workload || 'unknown'}</td>
        <td class="wide">{r.destination.workload || r.destination.service || r.authority}</td>
        <td class="num">{millis(r.duration)}</td>
        <td class="wide muted">{r.sampled}</td>
      </tr>
      {open && (
        <tr class="request-detail">
          <td colSpan={7}>
            <Explained r={r} />
          </td>
        </tr>
      )}
    </>
  );
}
