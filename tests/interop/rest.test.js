// supabase-js against PostgREST's face of the stand-in.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { createClient } from '@supabase/supabase-js';
import WebSocket from 'ws';

import { ENTERPRISE, OTHER_ENTERPRISE, startStandin } from './support/standin.js';

/** A client as an application makes it. Node 20 has no WebSocket of its own. */
function client(standin, key = standin.supabaseKey) {
  return createClient(standin.url, key, {
    db: { schema: 'notify' },
    auth: { persistSession: false, autoRefreshToken: false },
    realtime: { transport: WebSocket },
  });
}

for (const key of ['sb_secret_interop', 'legacy.service.role']) {
  describe(`supabase-js with the key ${key}`, () => {
    let standin;
    let supabase;

    before(async () => {
      standin = await startStandin('--supabase-key', key, '--max-rows', '50');
      supabase = client(standin);
    });
    after(() => standin.stop());
    afterEach(() => standin.clearFaults());

    test('a row goes in, comes back filtered, changes and leaves', async () => {
      const inserted = await supabase
        .from('ent_notification')
        .insert({ name: 'round trip', enterprise_id: ENTERPRISE, payload: { a: 1 }, recipients: [], publish_status: 'PUBLISH' })
        .select()
        .single();
      assert.equal(inserted.error, null);
      assert.equal(inserted.status, 201);
      assert.equal(inserted.data.notification_status, 'PENDING');
      const { id } = inserted.data;

      const found = await supabase
        .from('ent_notification')
        .select('id,payload')
        .eq('enterprise_id', ENTERPRISE)
        .in('notification_status', ['PENDING', 'FAILED'])
        .ilike('name', 'ROUND%')
        .is('scheduled_for', null)
        .maybeSingle();
      assert.deepEqual(found.data, { id, payload: { a: 1 } });

      const updated = await supabase
        .from('ent_notification')
        .update({ notification_status: 'SENT' })
        .eq('id', id)
        .eq('notification_status', 'PENDING')
        .select('id,notification_status');
      assert.deepEqual(updated.data, [{ id, notification_status: 'SENT' }]);

      const removed = await supabase.from('ent_notification').delete().eq('id', id);
      assert.equal(removed.status, 204);
      assert.deepEqual((await supabase.from('ent_notification').select('id').eq('id', id)).data, []);
    });

    test('an embed follows the foreign key, and an inner one narrows', async () => {
      const { id } = await standin.notification({ name: 'embedded' });
      const plain = await supabase
        .from('ent_notification')
        .select('id,workflow:ent_notification_workflow(workflow_key,publish_status),priority:typ_notification_priority(code)')
        .eq('id', id)
        .single();
      assert.deepEqual(plain.data, { id, workflow: { workflow_key: 'welcome', publish_status: 'PUBLISH' }, priority: null });
      const inner = await supabase
        .from('ent_notification')
        .select('id,workflow:ent_notification_workflow!inner(workflow_key)')
        .eq('id', id)
        .eq('workflow.publish_status', 'DRAFT');
      assert.deepEqual(inner.data, []);
    });

    test('eight claims of one row have one winner', async () => {
      const { id } = await standin.notification({ name: 'raced' });
      const claim = (worker) =>
        supabase
          .from('ent_notification')
          .update({ notification_status: 'PROCESSING', transaction_id: `job-${worker}` })
          .eq('id', id)
          .eq('enterprise_id', ENTERPRISE)
          .or(
            'and(notification_status.eq.PENDING,publish_status.eq.PUBLISH,deactivated.is.false,' +
              'or(scheduled_for.is.null,scheduled_for.lte."2026-01-01T00:00:00+00:00")),' +
              'and(notification_status.eq.FAILED,transaction_id.eq."a,b(c)")',
          )
          .select('id,transaction_id');
      const answers = await Promise.all(Array.from({ length: 8 }, (_, worker) => claim(worker)));
      assert.deepEqual(answers.map(({ error }) => error), Array(8).fill(null));
      const winners = answers.filter(({ data }) => data.length === 1);
      assert.equal(winners.length, 1);
      assert.equal((await standin.row('ent_notification', id)).transaction_id, winners[0].data[0].transaction_id);
    });

    test('pages are cut by max-rows and counted on request', async () => {
      const rows = Array.from({ length: 120 }, (_, at) => ({
        name: `page ${at}`,
        enterprise_id: OTHER_ENTERPRISE,
        payload: {},
        recipients: [],
        tags: ['paged'],
      }));
      assert.equal((await supabase.from('ent_notification').insert(rows)).status, 201);
      const seen = [];
      for (let last = 0; ; ) {
        const page = await supabase
          .from('ent_notification')
          .select('id')
          .eq('enterprise_id', OTHER_ENTERPRISE)
          .gt('id', last)
          .order('id')
          .limit(100);
        if (page.data.length === 0) break;
        assert.ok(page.data.length <= 50, 'the server caps the page below the limit');
        seen.push(...page.data.map(({ id }) => id));
        last = seen.at(-1);
      }
      assert.equal(new Set(seen).size, 120);
      const ranged = await supabase
        .from('ent_notification')
        .select('id', { count: 'exact' })
        .eq('enterprise_id', OTHER_ENTERPRISE)
        .order('id', { ascending: false })
        .range(10, 19);
      assert.equal(ranged.count, 120);
      assert.deepEqual(ranged.data.map(({ id }) => id), seen.toReversed().slice(10, 20));
      const head = await supabase
        .from('ent_notification')
        .select('id', { count: 'exact', head: true })
        .eq('enterprise_id', OTHER_ENTERPRISE);
      assert.equal(head.count, 120);
      const past = await supabase.from('ent_notification').select('id', { count: 'exact' }).range(5_000, 5_001);
      assert.equal(past.error.code, 'PGRST103');
    });

    test('an upsert merges, or leaves alone what is there', async () => {
      const row = { name: 'slot', enterprise_id: ENTERPRISE, payload: {}, recipients: [] };
      const options = { onConflict: 'name,enterprise_id' };
      const first = await supabase.from('ent_notification').upsert([row], { ...options, ignoreDuplicates: true }).select('id');
      assert.equal(first.data.length, 1);
      const ignored = await supabase.from('ent_notification').upsert([row], { ...options, ignoreDuplicates: true }).select('id');
      assert.deepEqual(ignored.data, []);
      const merged = await supabase
        .from('ent_notification')
        .upsert([{ ...row, description: 'merged' }], options)
        .select('id,description');
      assert.deepEqual(merged.data, [{ id: first.data[0].id, description: 'merged' }]);
    });

    test('errors arrive with code, message, details and hint', async () => {
      await standin.notification({ name: 'unique' });
      const cases = [
        [supabase.from('ent_notification').insert({ name: 'unique', enterprise_id: ENTERPRISE, payload: {}, recipients: [] }), 409, '23505'],
        [supabase.from('ent_notification').insert({ name: 'no payload', recipients: [] }), 400, '23502'],
        [supabase.from('ent_notification').select('*').eq('enterprise_id', 'ent1'), 400, '22P02'],
        [supabase.from('ent_notification').select('nope'), 400, '42703'],
        [supabase.from('ent_notification').update({ nope: 1 }).eq('id', 1), 400, 'PGRST204'],
        [supabase.from('nope').select('*'), 404, 'PGRST205'],
        [supabase.from('ent_notification').select('*').eq('id', -1).single(), 406, 'PGRST116'],
        [supabase.schema('secret').from('ent_notification').select('*'), 406, 'PGRST106'],
        [supabase.from('ent_notification').update({ description: 'x' }).gt('id', 0).maxAffected(0), 400, 'PGRST124'],
        [supabase.from('ent_notification').delete(), 400, '21000'],
      ];
      for (const [request, status, code] of cases) {
        const answer = await request;
        assert.deepEqual([answer.status, answer.error?.code], [status, code], JSON.stringify(answer));
        assert.deepEqual(Object.keys(answer.error).filter((key) => key !== 'name').sort(), ['code', 'details', 'hint', 'message']);
      }
    });

    test('a faulty answer without JSON is an error all the same', async () => {
      // supabase-js tries a GET again on its own when the server says 503.
      await standin.setFaults({ http: [{ face: 'rest', effect: { kind: 'status', status: 500, body: 'html' } }] });
      const answer = await supabase.from('ent_notification').select('id').limit(1);
      assert.equal(answer.status, 500);
      assert.match(answer.error.message, /500 Internal Server Error/);
    });
  });
}

test('a wrong key is refused by the gateway', async () => {
  const standin = await startStandin();
  const answer = await client(standin, 'sb_secret_wrong').from('ent_notification').select('id');
  assert.deepEqual([answer.status, answer.error.message], [401, 'Invalid API key']);
  assert.equal(await standin.stop(), 0);
});

test('the process ends in order on SIGINT and on SIGTERM', async () => {
  for (const signal of ['SIGINT', 'SIGTERM']) {
    const standin = await startStandin();
    assert.equal(await standin.stop(signal), 0, signal);
  }
});
