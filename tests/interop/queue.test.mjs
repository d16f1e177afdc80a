// Node's BullMQ and our queue on one Redis: each performs what the other has put in.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Queue, Worker } from "bullmq";

import { JOB, Peer, QUEUE, connection, freshPrefix, jobData, jobId, redis, until } from "../../host/queue/examples/queue-peer.mjs";

let server;
before(async () => { server = await redis(); });
after(() => server.end());

/** A prefix of its own, with Node's queue and our peer on it. */
function scene(t) {
  const shared = { connection: connection(server.url), prefix: freshPrefix() };
  const queue = new Queue(QUEUE, shared);
  const peer = new Peer(server.url, shared.prefix);
  const workers = [];
  t.after(async () => {
    await peer.end();
    for (const worker of workers) await worker.close();
    await queue.obliterate({ force: true });
    await queue.close();
  });
  const nodeWorker = (processor) => {
    workers.push(new Worker(QUEUE, processor, shared));
    return workers.at(-1);
  };
  const untilState = (number, want) => until(`job ${number} is ${want}`, async () => {
    const seen = await queue.getJobState(jobId(number));
    return { holds: seen === want, seen };
  });
  return { queue, peer, nodeWorker, untilState };
}

test("a job that Node adds is performed by our worker", async (t) => {
  const { queue, peer, untilState } = scene(t);
  await peer.ask("work");
  await queue.add(JOB, jobData(1), { jobId: jobId(1), attempts: 3, priority: 991 });
  await untilState(1, "completed");
  assert.deepEqual(await peer.untilPerformed(1, 1), [{ performed: jobId(1), attempt: 1, attemptsMax: 3 }]);
  assert.equal((await queue.getJob(jobId(1))).returnvalue, "done");
});

test("our offer is performed by a worker of Node, which can read its options", async (t) => {
  const { peer, nodeWorker, untilState } = scene(t);
  assert.deepEqual(await peer.ask(`offer ${jobId(1)} 10`), { offered: "New" });
  const seen = [];
  nodeWorker(async ({ name, data, opts, priority }) => void seen.push({ name, data, opts, priority }));
  await untilState(1, "completed");
  assert.equal(seen.length, 1);
  const [{ name, data, opts, priority }] = seen;
  assert.deepEqual({ name, data, priority }, { name: JOB, data: jobData(1), priority: 991 });
  assert.equal(opts.attempts, 3);
  assert.equal(opts.backoff.type, "exponential");
  assert.ok(Number.isInteger(opts.backoff.delay) && opts.backoff.delay > 0, JSON.stringify(opts.backoff));
});

test("Node performs our offers in the order of our priorities", async (t) => {
  const { peer, nodeWorker, untilState } = scene(t);
  for (const [number, priority] of [[1, 1], [2, 10], [3, 1000], [4, 0], [5, 10]]) await peer.ask(`offer ${jobId(number)} ${priority}`);
  const order = [];
  nodeWorker(async (job) => void order.push(Number(job.data.notificationId)));
  await untilState(4, "completed");
  assert.deepEqual(order, [3, 2, 5, 1, 4]);
});

test("a job that failed with Node makes room for our offer", async (t) => {
  const { queue, peer, nodeWorker, untilState } = scene(t);
  await queue.add(JOB, jobData(1), { jobId: jobId(1), attempts: 1 });
  const worker = nodeWorker(async () => { throw new Error("on purpose"); });
  await untilState(1, "failed");
  await worker.close();
  assert.deepEqual(await peer.ask(`offer ${jobId(1)} 10`), { offered: "Replaced" });
  await peer.ask("work");
  await untilState(1, "completed");
  await peer.untilPerformed(1, 1);
});

test("a job of a foreign name or with foreign data fails with the reason and is not performed", async (t) => {
  const { queue, peer, untilState } = scene(t);
  await peer.ask("work");
  await queue.add("send-mail", jobData(1), { jobId: jobId(1) });
  await queue.add(JOB, { ...jobData(2), payload: {} }, { jobId: jobId(2), attempts: 3 });
  await untilState(1, "failed");
  await untilState(2, "failed");
  assert.match((await queue.getJob(jobId(1))).failedReason, /name is "send-mail"/);
  assert.match((await queue.getJob(jobId(2))).failedReason, /unknown field `payload`/);
  assert.deepEqual(peer.performed, []);
});

test("both sides count the same, and a pause by Node holds our worker", async (t) => {
  const { queue, peer, untilState } = scene(t);
  await peer.ask(`offer ${jobId(1)} 10`);
  await peer.ask(`offer ${jobId(2)} 10 3600000`);
  await queue.pause();
  await peer.ask("work");
  const { counts } = await peer.ask("counts");
  assert.deepEqual(counts, { waiting: 1, active: 0, delayed: 1, completed: 0, failed: 0, paused: true });
  assert.deepEqual(await queue.getJobCounts("prioritized", "delayed"), { prioritized: 1, delayed: 1 });
  assert.deepEqual(peer.performed, []);
  await queue.resume();
  await untilState(1, "completed");
});
