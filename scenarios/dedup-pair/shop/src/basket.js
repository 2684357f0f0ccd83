export function basket() {
  return JSON.parse(localStorage.getItem("basket") ?? "[]");
}
