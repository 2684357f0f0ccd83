export async function search(words) {
  const answer = await fetch(`/api/search?q=${encodeURIComponent(words)}`);
  return answer.ok ? answer.json() : [];
}
