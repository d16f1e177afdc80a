// Bull Board's own API over our queue: what an operator sees, and the button that tries a failed job again.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { createBullBoard } from "@bull-board/api";
import { BullMQAdapter } from "@bull-board/api/bullMQAdapter";
import { Queue } from "bullmq";

import { JOB, Peer, QUEUE, connection, freshPrefix, jobId, redis, until } from "../../host/queue/examples/queue-peer.mjs";

let server;
before(async () => { server = await redis(); });
after(() => server.end());

/** Keeps Bull Board's routes instead of serving them, so that they are called without a web server. */
class Board {
  setQueues(queues) { this.queues = queues; return this; }
  setApiRoutes(routes) { this.routes = routes; return this; }
  setViewsPath() { return this; }
  setStaticPath() { return this; }
  setEntryRoute() { return this; }
  setErrorHandler() { return this; }
  setUIConfig(config) { this.uiConfig = config; return this; }

  async call(method, path, { params = {}, query = {} } = {}) {
    const answersTo = (entry) => [entry.method].flat().includes(method) && [entry.route].flat().includes(path);
    const entry = this.routes.find(answersTo);
    assert.ok(entry, `Bull Board answers no ${method} ${path}`);
    return entry.handler({ queues: this.queues, uiConfig: this.uiConfig, params, query, body: {}, headers: {} });
  }

  async failedJobs() {
    const { body } = await this.call("get", "/api/queues", { query: { activeQueue: QUEUE, status: "failed", page: "1", jobsPerPage: "10" } });
    return body.queues.find((queue) => queue.name === QUEUE);
  }
}

test("Bull Board lists the queue and its failed job, and a retry makes our worker perform it again", async (t) => {
  const prefix = freshPrefix();
  const queue = new Queue(QUEUE, { connection: connection(server.url), prefix });
  const peer = new Peer(server.url, prefix);
  t.after(async () => {
    await peer.end();
    await queue.obliterate({ force: true });
    await queue.close();
  });
  const board = new Board();
  createBullBoard({ queues: [new BullMQAdapter(queue)], serverAdapter: board });
  const untilCounts = (completed, failed) => until(`${completed} are completed and ${failed} failed`, async () => {
    const seen = await board.failedJobs();
    return { holds: seen?.counts.completed === completed && seen.counts.failed === failed, seen };
  });

  await peer.ask(`refuse ${jobId(1)}`);
  await peer.ask("work");
  await peer.ask(`offer ${jobId(1)} 10`);
  await peer.ask(`offer ${jobId(2)} 10`);
  const { jobs } = await untilCounts(1, 1);
  assert.deepEqual(jobs.map(({ id, name, failedReason }) => ({ id, name, failedReason })), [{ id: jobId(1), name: JOB, failedReason: "refused" }]);

  await peer.ask(`accept ${jobId(1)}`);
  const retry = { params: { queueName: QUEUE, jobId: jobId(1) } };
  const { status = 200 } = await board.call("put", "/api/queues/:queueName/:jobId/retry", retry);
  assert.ok(status < 300, `Bull Board answered ${status}`);
  await untilCounts(2, 0);
  await peer.untilPerformed(1, 2);
});
