export async function nextTicket() {
  const answer = await fetch("/ticket", { method: "POST" });
  if (!answer.ok) {
    throw new Error(`no ticket: ${answer.status}`);
  }
  return answer.text();
}
