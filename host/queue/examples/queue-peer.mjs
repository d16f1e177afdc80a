// The other end of queue-peer.rs, and a Redis to meet it on.
//
// Owns the processes a test of Node's clients needs. `QUEUE_PEER_BIN` and `REDIS_URL` name the parts under test; without them the peer of
// this checkout's debug build and a Redis of the test's own on a free port are taken. Promises that both have ended when a test has.

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PATIENCE_MS = 20_000;
const PAUSE_MS = 20;
const PEER_BUILT = fileURLToPath(new URL("../../../target/debug/examples/queue-peer", import.meta.url));

export const QUEUE = "notification-processing";
export const JOB = "process-notification";
const ENTERPRISE = "11111111-1111-4111-8111-111111111111";
export const jobId = (number) => `xn-${ENTERPRISE}-${number}-1767323045123456`;
export const jobData = (number) => ({ v: 1, enterpriseId: ENTERPRISE, notificationId: String(number), origin: "realtime" });
export const freshPrefix = () => `xnovu-interop-${randomUUID().slice(0, 8)}`;

/** Waits for a condition, and says what was last seen where it never holds. */
export async function until(what, condition) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const { holds, seen } = await condition();
    if (holds) return seen;
    if (Date.now() > deadline) throw new Error(`waited ${PATIENCE_MS} ms in vain until ${what}; last seen: ${JSON.stringify(seen)}`);
    await new Promise((resume) => setTimeout(resume, PAUSE_MS));
  }
}

/** A Redis: the one `REDIS_URL` names, or one of our own. */
export async function redis() {
  if (process.env.REDIS_URL) return { url: process.env.REDIS_URL, end: async () => {} };
  const port = await freePort();
  const settings = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction"];
  const child = spawn("redis-server", settings, { stdio: "ignore" });
  await once(child, "spawn");
  await until("Redis answers", async () => ({ holds: await answers(port), seen: child.exitCode }));
  const end = async () => {
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  };
  return { url: `redis://127.0.0.1:${port}`, end };
}

/** What Node's clients want instead of a URL. */
export function connection(url) {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port || 6379), maxRetriesPerRequest: null };
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

function answers(port) {
  return new Promise((tell) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", () => tell(false));
    socket.once("data", () => { socket.destroy(); tell(true); });
    socket.write("PING\r\n");
  });
}

/** Our queue, as a process: one command a line, one answer a line. */
export class Peer {
  performed = [];
  #asked = [];

  constructor(url, prefix) {
    const program = process.env.QUEUE_PEER_BIN ?? PEER_BUILT;
    if (!existsSync(program)) throw new Error(`${program} is missing\nhint: cargo build -p xnovu-queue --example queue-peer`);
    const env = { ...process.env, REDIS_URL: url, QUEUE_PREFIX: prefix };
    this.child = spawn(program, { env, stdio: ["pipe", "pipe", "inherit"] });
    this.exited = once(this.child, "exit");
    createInterface({ input: this.child.stdout }).on("line", (line) => this.#hear(JSON.parse(line)));
    this.child.on("exit", (code) => this.#asked.splice(0).forEach(({ fail }) => fail(new Error(`the peer ended with ${code}`))));
  }

  #hear(line) {
    if ("performed" in line) this.performed.push(line);
    else this.#asked.shift()?.heard(line);
  }

  async ask(command) {
    const answer = new Promise((heard, fail) => this.#asked.push({ heard, fail }));
    this.child.stdin.write(`${command}\n`);
    const line = await answer;
    if (line.error) throw new Error(`${command}: ${line.error}`);
    return line;
  }

  untilPerformed(number, times) {
    return until(`job ${number} was performed ${times} times`, async () => {
      const seen = this.performed.filter((line) => line.performed === jobId(number));
      return { holds: seen.length === times, seen };
    });
  }

  async end() {
    this.child.stdin.end();
    await this.exited;
  }
}
