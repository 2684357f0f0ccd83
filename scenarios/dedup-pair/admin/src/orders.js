export async function openOrders() {
  const answer = await fetch("/api/orders?state=open");
  return answer.json();
}
