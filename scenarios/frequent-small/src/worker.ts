const api = process.env.API ?? "http://api:3000";

async function sendNext(): Promise<boolean> {
  const answer = await fetch(`${api}/mail/next`);
  if (answer.status !== 200) {
    return false;
  }
  console.log("sending", await answer.text());
  return true;
}

for (;;) {
  if (!(await sendNext())) {
    await new Promise((wake) => setTimeout(wake, 1000));
  }
}
