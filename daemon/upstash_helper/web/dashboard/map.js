/**
 * A small map of the world for the regions. The land is a grid of dots within outlines that were sketched for it, as
 * exact as a picture of this size needs.
 */

import { svg } from "./dom.js";

/**
 * Longitude and latitude of the regions' cities.
 *
 * @type {Record<string, [longitude: number, latitude: number]>}
 */
export const PLACES = {
  "us-east-1": [-77.5, 39],
  "us-east-2": [-83, 40],
  "us-west-1": [-121.9, 37.4],
  "us-west-2": [-119.7, 45.8],
  "ca-central-1": [-73.6, 45.5],
  "eu-central-1": [8.7, 50.1],
  "eu-west-1": [-6.3, 53.3],
  "eu-west-2": [-0.1, 51.5],
  "sa-east-1": [-46.6, -23.5],
  "ap-south-1": [72.9, 19.1],
  "ap-northeast-1": [139.7, 35.7],
  "ap-southeast-1": [103.8, 1.4],
  "ap-southeast-2": [151.2, -33.9],
  "af-south-1": [18.4, -33.9],
  "us-central1": [-95.9, 41.3],
  "us-east4": [-77.5, 39],
  "europe-west1": [3.8, 50.4],
  "asia-northeast1": [139.7, 35.7],
};

const LAND = [
  "-167,66 -156,71 -128,70 -108,68 -95,72 -82,68 -94,60 -92,57 -82,55 -79,52 -77,62 -65,59 -56,52 -65,46 -70,43 -75,38 -81,31 -80,26 -85,30 -94,29 -97,26 -97,20 -91,18 -87,21 -88,16 -83,14 -83,10 -78,8 -86,12 -95,16 -105,20 -112,29 -110,23 -117,33 -124,40 -124,48 -133,56 -145,60 -158,57 -165,62",
  "-73,78 -50,82 -22,81 -20,73 -40,65 -44,60 -52,65 -55,72",
  "-78,8 -72,12 -60,9 -50,1 -35,-6 -39,-17 -48,-26 -57,-36 -63,-41 -66,-48 -69,-54 -74,-51 -73,-38 -70,-19 -81,-5",
  "-9,37 -9,43 -1,44 -4,48 2,51 8,54 9,57 5,60 12,66 20,70 30,71 42,67 55,69 68,70 75,73 100,77 115,74 140,73 160,70 179,68 178,63 163,60 162,53 156,57 155,60 140,58 136,54 141,52 135,44 129,41 129,36 126,35 125,39 121,39 119,36 122,31 118,24 108,21 109,13 105,9 100,13 103,2 98,9 95,16 90,22 80,15 78,8 73,17 70,22 60,25 56,27 50,30 48,30 51,25 58,23 55,17 44,13 35,28 35,36 27,37 29,41 41,41 36,46 30,46 28,42 22,37 19,42 13,45 18,40 16,38 9,44 3,42 -2,37",
  "-5,50 1,51 -2,57 -5,58",
  "-10,52 -6,52 -6,55 -10,54",
  "-24,65.5 -14,65.5 -18,63.5",
  "-16,15 -17,21 -10,30 -6,35 10,37 11,33 20,31 32,31 37,21 43,12 51,11 41,-2 40,-15 35,-24 32,-29 20,-35 15,-27 12,-17 13,-5 9,4 -8,4",
  "44,-16 50,-15 47,-25 44,-24",
  "114,-22 122,-18 130,-12 136,-12 140,-17 142,-11 147,-19 153,-26 150,-37 144,-38 138,-34 131,-31 118,-35 115,-33",
  "95,5 106,-6 102,-4",
  "109,2 117,7 116,-4 110,-3",
  "105,-6 114,-7 114,-9 105,-8",
  "131,-1 141,-3 150,-10 139,-8",
  "120,18 122,18 126,7 122,8",
  "130,31 136,34 141,36 142,43 145,44 140,45 139,38 131,34",
  "173,-35 178,-38 172,-44 167,-46 171,-41",
].map((outline) => outline.split(" ").map((point) => point.split(",").map(Number)));

const STEP = 4;
const NORTH = 78;
const SOUTH = -56;

let land = "";

/** Return the dots of the land as one path. */
export function landDots() {
  if (land) return land;
  const parts = [];
  for (let lat = NORTH; lat >= SOUTH; lat -= STEP) {
    for (let lon = -168; lon <= 180; lon += STEP) {
      if (LAND.some((outline) => within(outline, lon, lat))) parts.push(`M${lon + 180} ${NORTH - lat}h0`);
    }
  }
  land = parts.join("");
  return land;
}

/**
 * Return whether a point is within an outline: whether a ray to the east crosses it an odd number of times.
 *
 * @param {number[][]} outline
 * @param {number} lon
 * @param {number} lat
 */
export function within(outline, lon, lat) {
  let inside = false;
  for (let i = 0, j = outline.length - 1; i < outline.length; j = i, i += 1) {
    const [x1, y1] = outline[i];
    const [x2, y2] = outline[j];
    const crosses = y1 > lat !== y2 > lat;
    if (crosses && lon < ((x2 - x1) * (lat - y1)) / (y2 - y1) + x1) inside = !inside;
  }
  return inside;
}

/** @typedef {{ id: string, name: string }} MapRegion */

/**
 * Return a map that shows regions.
 *
 * @param {(id: string) => void} [onChoose] Called for a click on a region. The same can be done without the map.
 */
export function map(onChoose) {
  const spots = svg("g");
  const element = svg(
    "svg",
    { class: "map", viewBox: `6 -6 352 ${NORTH - SOUTH + 8}`, role: "img", "aria-label": "Map of the regions" },
    svg("path", { class: "land", d: landDots() }),
    spots,
  );
  return {
    element,
    /**
     * @param {MapRegion[]} regions
     * @param {string} primary
     * @param {Iterable<string>} reads
     */
    show(regions, primary, reads) {
      spots.replaceChildren(...ranked(regions, primary, reads).map(([it, rank]) => spot(it, CLASSES[rank], onChoose)));
      const name = regions.find((it) => it.id === primary)?.name;
      element.setAttribute("aria-label", name ? `Map of the regions, with ${name} selected` : "Map of the regions");
    },
  };
}

/** The classes of a region's spot: not chosen, a read region, the primary region. */
const CLASSES = ["spot", "spot read", "spot primary"];

/**
 * Return the regions that the map knows, with their rank; the chosen ones last, so that they are drawn on top.
 *
 * @param {MapRegion[]} regions
 * @param {string} primary
 * @param {Iterable<string>} reads
 * @returns {[MapRegion, number][]}
 */
export function ranked(regions, primary, reads) {
  const also = new Set(reads);
  /** @param {MapRegion} it */
  const rank = (it) => (it.id === primary ? 2 : also.has(it.id) ? 1 : 0);
  /** @type {[MapRegion, number][]} */
  const known = regions.filter((it) => PLACES[it.id]).map((it) => [it, rank(it)]);
  return known.sort(([, a], [, b]) => a - b);
}

/**
 * @param {MapRegion} region
 * @param {string} className
 * @param {((id: string) => void) | undefined} onChoose
 */
function spot(region, className, onChoose) {
  const [lon, lat] = PLACES[region.id];
  const at = { cx: lon + 180, cy: NORTH - lat };
  const onclick = onChoose && (() => onChoose(region.id));
  return svg(
    "g",
    { class: className, onclick },
    svg("title", {}, region.name),
    svg("circle", { ...at, r: 8, class: "halo" }),
    svg("circle", { ...at, r: 3.2, class: "dot" }),
  );
}
