/**
 * `@modelcontextprotocol/client`: makes a list of calls, over HTTP after a sign-in, or over stdio.
 *
 * It prints one JSON document a line: `{"open": …}` for the user's browser, and at the end what it received.
 */

import { createServer } from "node:http";
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { variable } from "./environment.js";

/** @import { OAuthClientProvider, StoredOAuthClientInformation, StoredOAuthTokens } from "@modelcontextprotocol/client" */
/** @typedef {{ tool: string, arguments: Record<string, unknown> }} Call */

/** @type {{ url?: string, command?: string[], mode: "auto" | "legacy", answers: string[] | null, calls: Call[] }} */
const job = JSON.parse(variable("JOB"));

/** @param {unknown} document Printed on one line. */
function print(document) {
  process.stdout.write(`${JSON.stringify(document)}\n`);
}

/** What the OAuth flow keeps in memory, and the listener to which the browser returns. */
class SignIn {
  /** @type {StoredOAuthClientInformation | undefined} */
  #registration;
  /** @type {StoredOAuthTokens | undefined} */
  #tokens;
  #verifier = "";
  /** @type {(parameters: URLSearchParams) => void} */
  #arrived = () => {};
  /** @type {Promise<URLSearchParams>} */
  #returned = Promise.resolve(new URLSearchParams());
  #server = createServer((request, response) => {
    response.end("You can close this tab.");
    this.#arrived(new URL(request.url ?? "/", "http://localhost").searchParams);
  });
  #port = 0;

  async listen() {
    await new Promise((resolve) => this.#server.listen(0, "127.0.0.1", () => resolve(undefined)));
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    this.#port = address.port;
  }

  /** @returns {Promise<URLSearchParams>} What the browser brought, after the last page that was opened. */
  get returned() {
    return this.#returned;
  }

  close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** @type {OAuthClientProvider} */
  provider = {
    redirectUrl: "",
    clientMetadata: {
      client_name: "TypeScript client",
      redirect_uris: [],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "none",
    },
    state: () => "from-typescript",
    clientInformation: () => this.#registration,
    saveClientInformation: (registration) => {
      this.#registration = registration;
    },
    tokens: () => this.#tokens,
    saveTokens: (tokens) => {
      this.#tokens = tokens;
    },
    redirectToAuthorization: (url) => {
      this.#returned = new Promise((resolve) => {
        this.#arrived = resolve;
      });
      print({ open: url.href });
    },
    saveCodeVerifier: (verifier) => {
      this.#verifier = verifier;
    },
    codeVerifier: () => this.#verifier,
  };

  /** @returns {OAuthClientProvider} The provider, with the listener's address. */
  withAddress() {
    const redirectUrl = `http://localhost:${this.#port}/callback`;
    const clientMetadata = { ...this.provider.clientMetadata, redirect_uris: [redirectUrl] };
    return { ...this.provider, redirectUrl, clientMetadata };
  }
}

/** @type {string[]} */
const asked = [];
const client = new Client(
  { name: "TypeScript client", version: "1" },
  {
    capabilities: job.answers === null ? {} : { elicitation: { form: {} } },
    versionNegotiation: { mode: job.mode },
  },
);
if (job.answers !== null) {
  const answers = [...job.answers];
  client.setRequestHandler("elicitation/create", (request) => {
    asked.push(request.params.message);
    if (answers.shift() !== "accept") return { action: "decline" };
    const { requestedSchema } = /** @type {{ requestedSchema: { properties?: Record<string, any> } }} */ (
      request.params
    );
    const fields = Object.entries(requestedSchema.properties ?? {});
    return { action: "accept", content: Object.fromEntries(fields.map(([name, it]) => [name, it.enum?.[0] ?? true])) };
  });
}

const signIn = new SignIn();
/** @type {StreamableHTTPClientTransport | undefined} */
let transport;

/** @param {string} url The endpoint. */
async function connectByHttp(url) {
  await client.close();
  transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: signIn.withAddress() });
  await client.connect(transport);
}

/**
 * Do something that may require a sign-in: the first one, or one for further access.
 *
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function signedIn(work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UnauthorizedError) || !transport) throw error;
    await transport.finishAuth(await signIn.returned);
    return await work();
  }
}

const { url } = job;
if (url) {
  await signIn.listen();
  await signedIn(() => connectByHttp(url));
} else {
  const [command, ...args] = job.command ?? [];
  const env = /** @type {Record<string, string>} */ ({ ...process.env });
  await client.connect(new StdioClientTransport({ command, args, env }));
}
/** @type {unknown[]} */
const results = [];
let database = "";
for (const call of job.calls) {
  const filled = Object.entries(call.arguments).map(([name, value]) => [
    name,
    value === "$database" ? database : value,
  ]);
  const result = await signedIn(() => client.callTool({ name: call.tool, arguments: Object.fromEntries(filled) }));
  const created = /** @type {{ database_id?: string } | undefined} */ (result.structuredContent);
  database ||= created?.database_id ?? "";
  results.push(result);
}
// Last: before the user has approved the agent, there may be none.
const listed = await client.listTools();
const version = client.getNegotiatedProtocolVersion();
await client.close();
signIn.close();
print({ version, tools: listed.tools, results, asked });
