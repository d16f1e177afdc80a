// supabase-js and realtime-js against Realtime's face of the stand-in, and the recorded session against ours.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { RealtimeClient } from '@supabase/realtime-js';
import { createClient } from '@supabase/supabase-js';
import WebSocket from 'ws';

import { shape } from './support/shape.js';
import { ENTERPRISE, OTHER_ENTERPRISE, eventually, startStandin } from './support/standin.js';

const NOTIFICATIONS = { schema: 'notify', table: 'ent_notification', filter: `enterprise_id=eq.${ENTERPRISE}` };

/** Subscribes and resolves once the server says that the subscription is live. */
async function live(channel) {
  const statuses = [];
  const systems = [];
  channel.on('system', {}, (payload) => systems.push(payload));
  channel.subscribe((status, error) => statuses.push(error ? `${status}: ${error.message}` : status));
  await eventually(() => ({ statuses, systems }), ({ systems }) => systems.length > 0);
  assert.deepEqual(statuses, ['SUBSCRIBED']);
  assert.equal(systems[0].status, 'ok');
}

describe('supabase-js', () => {
  let standin;
  let supabase;

  before(async () => {
    standin = await startStandin();
    supabase = createClient(standin.url, standin.supabaseKey, {
      db: { schema: 'notify' },
      auth: { persistSession: false, autoRefreshToken: false },
      realtime: { transport: WebSocket },
    });
  });
  after(async () => {
    await supabase.removeAllChannels();
    await standin.stop();
  });

  test('a channel reaches SUBSCRIBED and gets its INSERTs and UPDATEs only', async () => {
    const events = [];
    const channel = supabase
      .channel('enterprise')
      .on('postgres_changes', { event: 'INSERT', ...NOTIFICATIONS }, (change) => events.push(['I', change.new.name]))
      .on('postgres_changes', { event: 'UPDATE', ...NOTIFICATIONS }, (change) =>
        events.push(['U', change.new.notification_status, change.old]),
      );
    await live(channel);
    await standin.notification({ name: 'not ours', enterprise_id: OTHER_ENTERPRISE });
    const { id } = await standin.notification({ name: 'ours' });
    await standin.update('ent_notification', id, { notification_status: 'SENT' });
    await eventually(() => events, (events) => events.length === 2);
    assert.deepEqual(events, [
      ['I', 'ours'],
      ['U', 'SENT', { id }],
    ]);
    await supabase.removeChannel(channel);
    await eventually(standin.stats, ({ realtime }) => realtime.connections === 0 || realtime.subscriptions === 0);
  });

  test('the client converts columns by the types we name', async () => {
    const changes = [];
    const channel = supabase
      .channel('types')
      .on('postgres_changes', { event: 'INSERT', ...NOTIFICATIONS }, (change) => changes.push(change));
    await live(channel);
    await standin.notification({
      name: 'typed',
      payload: { deep: [1, { a: null }] },
      recipients: ['00000000-0000-4000-8000-000000000001'],
      tags: ['x', 'y'],
      scheduled_for: '2026-01-02T03:04:05.123456Z',
    });
    const [change] = await eventually(() => changes, (changes) => changes.length === 1);
    assert.deepEqual(change.new.payload, { deep: [1, { a: null }] });
    assert.deepEqual(change.new.recipients, ['00000000-0000-4000-8000-000000000001']);
    assert.deepEqual(change.new.tags, ['x', 'y']);
    assert.equal(change.new.deactivated, false);
    assert.equal(change.new.scheduled_for, '2026-01-02T03:04:05.123456+00:00');
    assert.equal(change.errors, null);
    await supabase.removeChannel(channel);
  });

  test('a crashed channel is joined again by the client and a closed one is not', async () => {
    const systems = [];
    const statuses = [];
    const channel = supabase
      .channel('crash')
      .on('postgres_changes', { event: 'INSERT', ...NOTIFICATIONS }, () => {})
      .on('system', {}, (payload) => systems.push(payload.extension));
    channel.subscribe((status) => statuses.push(status));
    await eventually(() => systems, (systems) => systems.length === 1);
    await standin.setFaults({ actions: ['error_channels'] });
    await eventually(() => systems, (systems) => systems.length === 2);
    assert.deepEqual(statuses, ['SUBSCRIBED', 'CHANNEL_ERROR', 'SUBSCRIBED']);
    await standin.setFaults({ actions: ['expire_tokens'] });
    await eventually(() => statuses, (statuses) => statuses.at(-1) === 'CLOSED');
    assert.equal(systems.at(-1), 'system');
    await supabase.removeChannel(channel);
  });
});

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`realtime-js with serializer ${vsn}`, () => {
    let standin;
    let realtime;

    before(async () => {
      standin = await startStandin();
      realtime = new RealtimeClient(`${standin.url.replace('http', 'ws')}/realtime/v1`, {
        params: { apikey: standin.supabaseKey },
        transport: WebSocket,
        vsn,
        heartbeatIntervalMs: 200,
      });
    });
    after(async () => {
      // The stand-in goes first: a stalled socket would not answer the client's close.
      await standin.stop();
      await realtime.disconnect();
    });

    test('events, heartbeats, tokens and reconnects work', async () => {
      const events = [];
      const systems = [];
      const beats = [];
      realtime.onHeartbeat((status) => beats.push(status));
      const channel = realtime
        .channel('x')
        .on('postgres_changes', { event: '*', ...NOTIFICATIONS }, (change) => events.push(change.eventType))
        .on('system', {}, (payload) => systems.push(payload.message));
      channel.subscribe();
      await eventually(() => systems, (systems) => systems.length === 1);
      await standin.notification({ name: 'one' });
      await eventually(() => events, (events) => events.length === 1);

      await eventually(() => beats, (beats) => beats.includes('ok'));
      await realtime.setAuth('a.user.token');
      await eventually(() => systems, (systems) => systems.length === 2);

      await standin.setFaults({ actions: ['drop_sockets'] });
      await eventually(() => systems, (systems) => systems.length === 3);
      await standin.notification({ name: 'two' });
      await eventually(() => events, (events) => events.length === 2);
      assert.deepEqual(events, ['INSERT', 'INSERT']);
      assert.deepEqual([...new Set(systems)], ['Subscribed to PostgreSQL']);
    });

    test('a stalled socket is noticed by its missing heartbeats', async () => {
      const statuses = [];
      realtime.onHeartbeat((status) => statuses.push(status));
      await standin.setFaults({ actions: ['stall_sockets'] });
      await eventually(() => statuses, (statuses) => statuses.includes('timeout'));
    });
  });
}

describe('the recorded session', () => {
  const recorded = readFileSync(new URL('golden/session.ndjson', import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

  /** The members all bodies share; the columns of the recorded table are not ours. */
  const bodyShape = ({ ids, data }) => {
    const { record, old_record: oldRecord, columns, errors, ...rest } = data;
    return { ids: shape(ids), rest: shape(rest), columns: shape(columns), errors, oldRecord: oldRecord && shape(oldRecord) };
  };

  test('our frames have the shape of its frames', async (t) => {
    const standin = await startStandin();
    t.after(() => standin.stop());
    const socket = new WebSocket(
      `${standin.url.replace('http', 'ws')}/realtime/v1/websocket?apikey=${standin.supabaseKey}&vsn=2.0.0`,
    );
    const frames = [];
    socket.on('message', (data, binary) => frames.push(binary ? data : JSON.parse(data)));
    await once(socket, 'open');

    const [join] = recorded.filter(({ frame }) => frame[3] === 'phx_join').map(({ frame }) => frame);
    join[4].config.postgres_changes = join[4].config.postgres_changes.map((binding) => ({
      ...binding,
      filter: NOTIFICATIONS.filter,
    }));
    socket.send(JSON.stringify(join));
    await eventually(() => frames, (frames) => frames.length === 2);
    const { id } = await standin.notification({ payload: { k: 1 } });
    await standin.update('ent_notification', id, { notification_status: 'SENT' });
    await standin.notification({ payload: { big: 'x'.repeat(1_100_000) } });
    await eventually(() => frames, (frames) => frames.length === 5);
    for (const { frame } of recorded.filter(({ frame }) => frame[3] === 'heartbeat')) socket.send(JSON.stringify(frame));
    await eventually(() => frames, (frames) => frames.length === 7);
    socket.terminate();

    const theirs = recorded.filter(({ dir }) => dir === 's2c').map(({ frame }) => frame);
    assert.equal(frames.length, theirs.length);
    for (const [at, frame] of frames.entries()) {
      const expected = theirs[at];
      assert.deepEqual(frame.slice(0, 4), expected.slice(0, 4));
      if (frame[3] === 'postgres_changes') {
        assert.deepEqual(bodyShape(frame[4]), bodyShape(expected[4]));
        assert.equal(frame[4].data.type, expected[4].data.type);
      } else {
        assert.deepEqual(shape(frame[4]), shape(expected[4]));
      }
    }
    assert.deepEqual(frames[1][4], theirs[1][4], 'the system message is the same word for word');
    assert.ok(!('payload' in frames[4][4].data.record) && frames[4][4].data.record.notification_status === 'PENDING');
  });
});
