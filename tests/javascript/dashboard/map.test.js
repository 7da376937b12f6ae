/** The map of the regions. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { IdempotencyKey } from "../../../daemon/upstash_helper/web/dashboard/create_database.js";
import { landDots, PLACES, ranked, within } from "../../../daemon/upstash_helper/web/dashboard/map.js";

const SQUARE = [
  [0, 0],
  [10, 0],
  [10, 10],
  [0, 10],
];

test("points inside and outside of an outline are recognized", () => {
  assert.ok(within(SQUARE, 5, 5));
  for (const [lon, lat] of [
    [-1, 5],
    [11, 5],
    [5, 11],
    [5, -1],
  ]) {
    assert.ok(!within(SQUARE, lon, lat), `${lon}, ${lat}`);
  }
});

test("land is drawn where there is land", () => {
  const dots = landDots().split("M");

  assert.ok(dots.length > 500 && dots.length < 2000, String(dots.length));
  // A point in the middle of Africa, and one in the middle of the Pacific.
  assert.ok(dots.includes(`${24 + 180} ${78 - 2}h0`));
  assert.ok(!dots.includes(`${-140 + 180} ${78 - 10}h0`));
  assert.equal(landDots(), landDots());
});

test("every region is on the map", () => {
  for (const [id, [lon, lat]] of Object.entries(PLACES)) {
    assert.ok(Math.abs(lon) <= 180 && lat > -56 && lat < 78, id);
  }
});

test("the chosen regions are drawn last, and unknown ones are left out", () => {
  const regions = ["eu-west-1", "us-east-1", "mars-north-1", "ap-south-1"].map((id) => ({ id, name: id }));

  const order = ranked(regions, "eu-west-1", ["us-east-1"]).map(([{ id }, rank]) => [id, rank]);

  assert.deepEqual(order, [
    ["ap-south-1", 0],
    ["us-east-1", 1],
    ["eu-west-1", 2],
  ]);
});

test("a repeated request keeps its idempotency key, and a changed one gets a new key", () => {
  const keys = new IdempotencyKey();
  const [first, again, other] = [{ name: "a" }, { name: "a" }, { name: "b" }].map((body) => keys.keyFor(body));

  assert.equal(first, again);
  assert.notEqual(first, other);
  assert.notEqual(keys.keyFor({ name: "a" }), first);
});
