// Node's BullMQ and our queue on one Redis: each performs what the other has put in.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";

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
  return { queue, peer, nodeWorker, untilState, shared };
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

test("Node reads a backlog of ours as realtime before scheduled before cron, each in turn", async (t) => {
  const { queue, peer } = scene(t);
  const offered = [[1, 1], [2, 5], [3, 10], [4, 1], [5, 10], [6, 5], [7, 15]];
  for (const [number, priority] of offered) await peer.ask(`offer ${jobId(number)} ${priority}`);
  const jobs = await queue.getJobs(["prioritized"], 0, -1, true);
  const read = jobs.map(({ data, priority }) => [Number(data.notificationId), priority]);
  assert.deepEqual(read, [[7, 986], [3, 991], [5, 991], [2, 996], [6, 996], [1, 1000], [4, 1000]]);
  assert.deepEqual(await queue.getCountsPerPriority([986, 991, 996, 1000]), { 986: 1, 991: 2, 996: 2, 1000: 2 });
});

test("both sides tell a failed job alike, and after our retry a worker of Node performs it with all its attempts", async (t) => {
  const { queue, peer, nodeWorker, untilState } = scene(t);
  await peer.ask(`refuse ${jobId(1)}`);
  await peer.ask(`offer ${jobId(1)} 10`);
  await peer.ask("work");
  await untilState(1, "failed");
  await peer.ask("stop");
  const theirs = await queue.getJob(jobId(1));
  const { failed: [ours, ...others] } = await peer.ask("failed");
  assert.deepEqual(others, []);
  assert.deepEqual({ id: ours.id, reason: ours.reason, attempts: ours.attempts, of: ours.attempts_max, at: Date.parse(ours.at) },
    { id: theirs.id, reason: theirs.failedReason, attempts: theirs.attemptsMade, of: theirs.opts.attempts, at: theirs.finishedOn });
  assert.equal(ours.enterprise, theirs.data.enterpriseId);

  assert.deepEqual(await peer.ask(`retry ${jobId(1)}`), { retried: [jobId(1)] });
  assert.equal(await queue.getJobState(jobId(1)), "prioritized");
  const seen = [];
  nodeWorker(async ({ attemptsMade, failedReason, priority }) => void seen.push({ attemptsMade, failedReason, priority }));
  await untilState(1, "completed");
  assert.deepEqual(seen, [{ attemptsMade: 0, failedReason: undefined, priority: 991 }]);
  assert.deepEqual(await peer.ask(`retry ${jobId(1)}`), { retried: [] });
});

test("a job of a worker of Node that went silent is taken over by ours, and Node hears of it", async (t) => {
  const { queue, peer, untilState, shared } = scene(t);
  await peer.ask(`offer ${jobId(1)} 10`);
  // It takes the job and never renews its lock, as one that was killed would.
  const keys = new Redis(connection(server.url));
  t.after(() => keys.disconnect());
  const silent = new Worker(QUEUE, null, { ...shared, lockDuration: 300 });
  const taken = await silent.getNextJob("token-of-a-dead-worker");
  assert.equal(taken.id, jobId(1));
  await until("its lock has run out", async () => {
    const seen = await keys.exists(`${shared.prefix}:${QUEUE}:${jobId(1)}:lock`);
    return { holds: seen === 0, seen };
  });
  await silent.close();
  await peer.ask("work");
  await untilState(1, "completed");
  const events = await keys.xrange(`${shared.prefix}:${QUEUE}:events`, "-", "+");
  assert.ok(events.some(([, fields]) => fields.includes("stalled") && fields.includes(jobId(1))), JSON.stringify(events));
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
