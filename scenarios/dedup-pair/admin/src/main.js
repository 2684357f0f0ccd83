import { h, render } from "preact";
import { openOrders } from "./orders.js";

openOrders().then((orders) => {
  render(h("h1", null, `${orders.length} open orders`), document.querySelector("main"));
});
