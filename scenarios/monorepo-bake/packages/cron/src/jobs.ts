import { say } from "@monorepo/shared";

const jobs: Record<string, () => void> = {
  nightly: () => say("cron", "prices checked"),
  hourly: () => say("cron", "stock counted"),
};

const name = process.argv[2] ?? "hourly";
const job = jobs[name];
if (!job) {
  throw new Error(`no job ${name}; there are ${Object.keys(jobs).join(", ")}`);
}
job();
