import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { MailQueue, type Mail } from "./queue.js";

const queue = new MailQueue();
const app = new Hono();

app.post("/mail", async (call) => {
  const position = queue.add(await call.req.json<Mail>());
  return call.json({ position }, 202);
});
app.get("/mail/next", (call) => {
  const mail = queue.take();
  return mail ? call.json(mail) : call.body(null, 204);
});

serve({ fetch: app.fetch, port: 3000 });
