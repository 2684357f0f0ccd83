import { h, render } from "preact";
import { basket } from "./basket.js";

const lines = basket().map(({ name, cents }) => h("li", null, `${name}: ${(cents / 100).toFixed(2)}`));
render(h("ul", null, lines), document.querySelector("main"));
