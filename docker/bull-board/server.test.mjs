// The board against a Redis of its own, with a job as xnovu's daemon writes it.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createServer } from "node:net"
import { createInterface } from "node:readline"
import { after, before, test } from "node:test"
import { Queue } from "bullmq"

const PREFIX = "xnovu-board-test"
const PASSWORD = "a-password-of-the-test"
const children = []
let redisPort

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address()
  server.close()
  await once(server, "close")
  return port
}

/** Starts a program and waits for the line that says it listens. */
async function start(command, args, env, ready) {
  const child = spawn(command, args, { env: { PATH: process.env.PATH, ...env }, stdio: ["ignore", "pipe", "inherit"] })
  children.push(child)
  for await (const line of createInterface({ input: child.stdout })) {
    const found = ready.exec(line)
    if (found) return found
  }
  throw new Error(`${command} ended before it listened`)
}

before(async () => {
  redisPort = await freePort()
  const args = ["--port", redisPort, "--bind", "127.0.0.1", "--requirepass", "redis-password", "--save", ""]
  await start("redis-server", args, {}, /Ready to accept connections/)
})

after(() => children.forEach((child) => child.kill("SIGKILL")))

const settings = () => ({ REDIS_URL: `redis://:redis-password@127.0.0.1:${redisPort}`, QUEUE_PREFIX: PREFIX, PORT: "0" })

test("without a password it does not start, and says what to set", async () => {
  const child = spawn("node", ["server.mjs"], { env: { PATH: process.env.PATH, ...settings() } })
  let said = ""
  child.stderr.on("data", (data) => (said += data))
  const [code] = await once(child, "close")
  assert.equal(code, 64)
  assert.match(said, /BULL_BOARD_PASSWORD is not set\nhint: /)
})

test("it shows both queues and their jobs to those who know the password only", async () => {
  const connection = { host: "127.0.0.1", port: redisPort, password: "redis-password" }
  const queue = new Queue("notification-processing", { prefix: PREFIX, connection })
  await queue.add("process-notification", { v: 1, enterpriseId: "ent1", notificationId: "7" }, { jobId: "xn-ent1-7-5", priority: 991 })
  await queue.close()
  const [, port] = await start("node", ["server.mjs"], { ...settings(), BULL_BOARD_PASSWORD: PASSWORD }, /listens on (\d+)/)
  const ask = async (path, password) => {
    const authorization = `Basic ${Buffer.from(`xnovu:${password}`).toString("base64")}`
    return fetch(`http://127.0.0.1:${port}${path}`, { headers: password ? { authorization } : {} })
  }
  assert.equal((await ask("/healthz")).status, 200)
  for (const password of [undefined, "wrong", `${PASSWORD} `]) {
    assert.equal((await ask("/api/queues", password)).status, 401, `with ${password}`)
  }
  const { queues } = await (await ask("/api/queues?activeQueue=notification-processing&status=prioritized", PASSWORD)).json()
  assert.deepEqual(queues.map(({ name }) => name).sort(), ["notification-processing", "rule-execution"])
  const jobs = queues.find(({ name }) => name === "notification-processing").jobs
  assert.deepEqual(jobs.map(({ id }) => id), ["xn-ent1-7-5"])
  assert.equal((await ask("/", PASSWORD)).status, 200)
})
