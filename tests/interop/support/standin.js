// Starts the stand-in as a process of its own and speaks to its admin route.
//
// STANDIN_BIN names the binary under test; without it the debug build of this checkout is taken.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const BIN = process.env.STANDIN_BIN ?? fileURLToPath(new URL('../../../target/debug/xnovu-standin', import.meta.url));

export const ENTERPRISE = '00000000-0000-0000-0000-0000000000e1';
export const OTHER_ENTERPRISE = '00000000-0000-0000-0000-0000000000e2';

/** How long anything that must happen may take. */
const PATIENCE_MS = 10_000;

/** Starts a stand-in with further command line options. */
export async function startStandin(...options) {
  const child = spawn(BIN, ['--listen', '127.0.0.1:0', '--system-delay-ms', '20', ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const first = await Promise.race([
    once(lines, 'line').then(([line]) => line),
    ended.then(([code]) => Promise.reject(new Error(`${BIN} ended with ${code} before it listened`))),
  ]);
  const { url, supabase_key: supabaseKey, novu_key: novuKey } = JSON.parse(first);

  const admin = async (method, path, body) => {
    const response = await fetch(`${url}/admin/${path}`, {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} /admin/${path}: ${response.status} ${text}`);
    return text === '' ? null : JSON.parse(text);
  };

  return {
    url,
    supabaseKey,
    novuKey,
    insert: (table, row) => admin('POST', `rows/${table}`, row),
    notification: (row = {}) =>
      admin('POST', 'rows/ent_notification', { enterprise_id: ENTERPRISE, workflow_key: 'welcome', ...row }),
    update: (table, id, columns) => admin('PATCH', `rows/${table}/${id}`, columns),
    row: (table, id) => admin('GET', `rows/${table}/${id}`),
    deliveries: () => admin('GET', 'deliveries'),
    stats: () => admin('GET', 'stats'),
    setFaults: (faults) => admin('POST', 'faults', faults),
    clearFaults: () => admin('DELETE', 'faults'),
    /** Ends the process and answers its exit code. */
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal);
      const [code] = await ended;
      return code;
    },
  };
}

/** Waits until `look` answers what `done` accepts, and fails with the last answer otherwise. */
export async function eventually(look, done) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const seen = await look();
    if (done(seen)) return seen;
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
