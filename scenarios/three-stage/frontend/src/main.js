import { nextTicket } from "./ticket.js";

const shown = document.querySelector("#ticket");

document.querySelector("#next").addEventListener("click", async () => {
  shown.value = await nextTicket();
});
