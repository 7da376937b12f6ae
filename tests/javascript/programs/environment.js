/** What the test passes to a program. */

/** @param {string} name @returns {string} The variable's value. */
export function variable(name) {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

/** The database, for clients of the REST API. */
export function rest() {
  return { url: variable("REST_URL"), token: variable("REST_TOKEN") };
}

/** @param {() => unknown} action @returns {Promise<string>} The message of what it throws. */
export async function failure(action) {
  try {
    await action();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error("This should have failed.");
}
