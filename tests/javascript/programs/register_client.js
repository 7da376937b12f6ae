/** Registers the OAuth client `CLIENT` at `REGISTER_AT`, and shows the answer: as the program that will use it. */

import { variable } from "./environment.js";

const request = { method: "POST", headers: { "Content-Type": "application/json" }, body: variable("CLIENT") };
const response = await fetch(variable("REGISTER_AT"), request);
if (!response.ok) throw new Error(await response.text());
process.stdout.write(await response.text());
