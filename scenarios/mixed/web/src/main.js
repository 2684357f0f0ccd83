import { search } from "./search.js";

const list = document.querySelector("ol");

document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const found = await search(new FormData(event.target).get("q"));
  list.replaceChildren(...found.map((title) => Object.assign(document.createElement("li"), { textContent: title })));
});
