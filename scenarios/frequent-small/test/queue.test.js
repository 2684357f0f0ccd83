import assert from "node:assert/strict";
import { test } from "node:test";
import { MailQueue } from "../dist/queue.js";

test("the oldest mail leaves first", () => {
  const queue = new MailQueue();
  queue.add({ to: "a", text: "1" });
  queue.add({ to: "b", text: "2" });
  assert.equal(queue.take()?.to, "a");
});
