// Novu's official client against Novu's face of the stand-in. The client validates every answer, so what it accepts is well formed.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { Novu } from '@novu/api';
import { ErrorDto } from '@novu/api/models/errors/errordto.js';
import { PayloadValidationExceptionDto } from '@novu/api/models/errors/payloadvalidationexceptiondto.js';
import { ValidationErrorDto } from '@novu/api/models/errors/validationerrordto.js';

import { ENTERPRISE, startStandin } from './support/standin.js';

const QUICK_RETRIES = {
  strategy: 'backoff',
  backoff: { initialInterval: 10, maxInterval: 2_000, exponent: 1.5, maxElapsedTime: 5_000 },
  retryConnectionErrors: true,
};

function client(standin, secretKey = standin.novuKey) {
  return new Novu({ secretKey, serverURL: standin.url, retryConfig: QUICK_RETRIES });
}

describe('@novu/api', () => {
  let standin;
  let novu;

  before(async () => {
    standin = await startStandin();
    await standin.insert('ent_notification_workflow', { workflow_key: 'welcome', enterprise_id: ENTERPRISE });
    novu = client(standin);
  });
  after(() => standin.stop());
  afterEach(() => standin.clearFaults());

  test('a trigger is accepted and recorded', async () => {
    const { result } = await novu.trigger({
      workflowId: 'welcome',
      to: [{ subscriberId: 's1' }, 's2'],
      payload: { a: { b: [1, null] } },
      overrides: {},
      transactionId: 'tx-1',
    });
    assert.deepEqual(result, { acknowledged: true, status: 'processed', transactionId: 'tx-1' });
    const delivery = (await standin.deliveries()).find(({ transaction_id: id }) => id === 'tx-1');
    assert.deepEqual([delivery.workflow, delivery.recipients, delivery.payload], ['welcome', ['s1', 's2'], { a: { b: [1, null] } }]);
    assert.equal(delivery.enterprise_id, ENTERPRISE);
    assert.equal(delivery.outcome, 'delivered');
  });

  test('a bulk trigger answers each event', async () => {
    const { result } = await novu.triggerBulk({
      events: [
        { workflowId: 'welcome', to: 's1', transactionId: 'bulk-1' },
        { workflowId: 'nowhere', to: 's1', transactionId: 'bulk-2' },
      ],
    });
    assert.deepEqual(result.map(({ status }) => status), ['processed', 'error']);
    assert.deepEqual(result[1].error, ['workflow_not_found']);
  });

  test('a cancel answers a boolean', async () => {
    await novu.trigger({ workflowId: 'welcome', to: 's1', transactionId: 'cancel-1' });
    assert.equal((await novu.cancel('cancel-1')).result, true);
    assert.equal((await novu.cancel('cancel-1')).result, false);
  });

  test('429 with Retry-After is tried again', async () => {
    const status = { kind: 'status', status: 429, retry_after_s: 1 };
    await standin.setFaults({ http: [{ face: 'novu', count: 1, effect: status }] });
    const { result } = await novu.trigger({ workflowId: 'welcome', to: 's1', transactionId: 'retried' });
    assert.equal(result.status, 'processed');
  });

  test('the answers of an inactive and of an unknown workflow are typed', async () => {
    await standin.insert('ent_notification_workflow', { workflow_key: 'off', deactivated: true });
    const { result } = await novu.trigger({ workflowId: 'off', to: 's1' });
    assert.equal(result.status, 'trigger_not_active');
    await assert.rejects(novu.trigger({ workflowId: 'nowhere', to: 's1' }), (error) => {
      assert.ok(error instanceof ValidationErrorDto, error.name);
      assert.deepEqual([error.statusCode, error.message], [422, 'workflow_not_found']);
      return true;
    });
  });

  test('too many recipients are refused with the typed 400', async () => {
    const to = Array.from({ length: 101 }, (_, at) => `s${at}`);
    await assert.rejects(novu.trigger({ workflowId: 'welcome', to }), (error) => {
      assert.ok(error instanceof PayloadValidationExceptionDto, `${error.name}: ${error.message}`);
      assert.equal(error.errors[0].field, 'to');
      return true;
    });
  });

  test('a wrong key is refused with the typed 401', async () => {
    await assert.rejects(client(standin, 'wrong').trigger({ workflowId: 'welcome', to: 's1' }), (error) => {
      assert.ok(error instanceof ErrorDto, error.name);
      assert.equal(error.statusCode, 401);
      return true;
    });
  });

  test('an idempotency key is answered once and replayed after', async () => {
    const event = { workflowId: 'welcome', to: 's1', transactionId: 'idempotent' };
    const first = await novu.trigger(event, 'key-1');
    const second = await novu.trigger(event, 'key-1');
    assert.deepEqual(second.result, first.result);
    assert.deepEqual(second.headers['idempotency-replay'], ['true']);
    const deliveries = (await standin.deliveries()).filter(({ transaction_id: id }) => id === 'idempotent');
    assert.equal(deliveries.length, 1);
    await assert.rejects(novu.trigger({ ...event, to: 's2' }, 'key-1'), (error) => error.statusCode === 422);
  });

  test('a connection cut after the work is tried again and not worked on twice', async () => {
    await standin.setFaults({ http: [{ face: 'novu', count: 1, effect: { kind: 'cut' } }] });
    const { result, headers } = await novu.trigger({ workflowId: 'welcome', to: 's1', transactionId: 'cut' }, 'key-cut');
    assert.equal(result.status, 'processed');
    assert.deepEqual(headers['idempotency-replay'], ['true']);
    const outcomes = (await standin.deliveries()).filter(({ transaction_id: id }) => id === 'cut').map(({ outcome }) => outcome);
    assert.deepEqual(outcomes, ['delivered']);
  });
});

test('the rate limit is enforced and waited for', async (t) => {
  const standin = await startStandin('--novu-requests-per-second', '100');
  t.after(() => standin.stop());
  await standin.insert('ent_notification_workflow', { workflow_key: 'welcome' });
  const novu = client(standin);
  const bulk = () => novu.triggerBulk({ events: [{ workflowId: 'welcome', to: 's1' }] });
  // The bucket holds 550 and each bulk call costs 100: the sixth has to wait for Retry-After.
  for (let call = 0; call < 5; call += 1) assert.equal((await bulk()).result[0].status, 'processed');
  const started = performance.now();
  const { result, headers } = await bulk();
  assert.ok(performance.now() - started >= 900, 'the client waited');
  assert.equal(result[0].status, 'processed');
  assert.deepEqual(headers['ratelimit-limit'], ['500']);
  assert.equal((await standin.stats()).novu.delivered, 6);
});
