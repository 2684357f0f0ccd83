import { createServer } from "node:http";
import { say } from "@monorepo/shared";
import { priceOf } from "./prices.js";

createServer((call, answer) => {
  const price = priceOf((call.url ?? "/").slice(1));
  answer.writeHead(price ? 200 : 404).end(price);
}).listen(3000, () => say("app", "listening"));
