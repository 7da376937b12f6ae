/** Token storages. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultStorage, read, readNow } from "../../../daemon/upstash_helper/web/connect/storage.js";
import { memory, withGlobals } from "../support/helper.js";

const broken = {
  getItem() {
    throw new Error("blocked");
  },
  setItem() {},
  removeItem() {},
};
const slow = { ...memory(), getItem: async () => "kept" };

test("a storage may be asynchronous, and may fail", async () => {
  assert.equal(await read(memory({ key: "kept" }), "key"), "kept");
  assert.equal(await read(slow, "key"), "kept");
  assert.equal(await read(memory(), "key"), null);
  assert.equal(await read(broken, "key"), null);
  assert.equal(await read({ ...slow, getItem: () => Promise.reject(new Error("closed")) }, "key"), null);
});

test("a synchronous read of an asynchronous storage returns nothing", () => {
  assert.equal(readNow(memory({ key: "kept" }), "key"), "kept");
  assert.equal(readNow(slow, "key"), null);
  assert.equal(readNow(broken, "key"), null);
});

test("the default is localStorage, or memory if that is blocked", (t) => {
  const local = memory();
  withGlobals(t, { localStorage: local });
  assert.equal(defaultStorage(), local);

  Object.defineProperty(globalThis, "localStorage", {
    configurable: true,
    get() {
      throw new Error("SecurityError");
    },
  });
  const fallback = defaultStorage();
  fallback.setItem("key", "kept");
  assert.equal(defaultStorage().getItem("key"), "kept");
  fallback.removeItem("key");
  assert.equal(defaultStorage().getItem("key"), null);
});
