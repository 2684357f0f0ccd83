import { readFileSync, readdirSync } from "node:fs";
import { say } from "@monorepo/shared";

const folder = process.argv[2] ?? "migrations";

for (const file of readdirSync(folder).sort()) {
  say("db", `-- ${file}`);
  process.stdout.write(readFileSync(`${folder}/${file}`, "utf8"));
}
