// Bull Board over the two queues of xnovu.
//
// Asks for a password and has none by default: a board that everybody can open is one on which everybody can retry and remove jobs.
// Jobs hold ids only, so nothing of a notification's content can be seen here.
import { createHash, timingSafeEqual } from "node:crypto"
import { readFileSync } from "node:fs"
import { createBullBoard } from "@bull-board/api"
import { BullMQAdapter } from "@bull-board/api/bullMQAdapter"
import { ExpressAdapter } from "@bull-board/express"
import { Queue } from "bullmq"
import express from "express"

const QUEUES = ["notification-processing", "rule-execution"]

/** A setting, or the content of the file that `<name>_FILE` names; the last resort is `otherwise`. */
function setting(name, otherwise) {
  const file = process.env[`${name}_FILE`]
  const value = process.env[name] || (file ? readFileSync(file, "utf8").trim() : "") || otherwise
  if (value) return value
  console.error(`error: ${name} is not set\nhint: set it, or ${name}_FILE to a file that holds it`)
  process.exit(64)
}

const digest = (text) => createHash("sha256").update(text).digest()

function guard(user, password) {
  const wanted = digest(`${user}:${password}`)
  return (request, response, next) => {
    const [scheme, credentials] = (request.headers.authorization ?? "").split(" ")
    const given = Buffer.from(credentials ?? "", "base64").toString()
    if (scheme === "Basic" && timingSafeEqual(digest(given), wanted)) return next()
    response.set("WWW-Authenticate", 'Basic realm="xnovu queues"').status(401).json({ error: "a password is needed" })
  }
}

const password = setting("BULL_BOARD_PASSWORD")
const user = setting("BULL_BOARD_USER", "xnovu")
const redis = new URL(setting("REDIS_URL"))
const prefix = setting("QUEUE_PREFIX")
const connection = {
  host: redis.hostname,
  port: Number(redis.port || 6379),
  username: decodeURIComponent(redis.username) || undefined,
  password: decodeURIComponent(redis.password) || undefined,
  db: Number(redis.pathname.slice(1) || 0),
  tls: redis.protocol === "rediss:" ? {} : undefined,
}

const queues = QUEUES.map((name) => new Queue(name, { prefix, connection }))
for (const queue of queues) queue.on("error", (error) => console.error(`${queue.name}: ${error.message}`))
const adapter = new ExpressAdapter()
createBullBoard({ queues: queues.map((queue) => new BullMQAdapter(queue)), serverAdapter: adapter })

const app = express()
app.get("/healthz", (_request, response) => response.send("ok\n"))
app.use(guard(user, password), adapter.getRouter())
const port = Number(setting("PORT", "3000"))
const server = app.listen(port, () => console.log(`Bull Board listens on ${server.address().port}`))

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => {
    server.close()
    server.closeAllConnections()
    Promise.allSettled(queues.map((queue) => queue.close())).then(() => process.exit(0))
  })
}
