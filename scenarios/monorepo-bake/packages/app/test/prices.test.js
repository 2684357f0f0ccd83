import assert from "node:assert/strict";
import { test } from "node:test";
import { priceOf } from "../dist/prices.js";

test("a price is shown in euros", () => assert.equal(priceOf("tea"), "3.20 EUR"));
test("an unknown article has none", () => assert.equal(priceOf("sand"), undefined));
