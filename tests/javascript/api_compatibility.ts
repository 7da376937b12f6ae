/**
 * What connect.js says about the API's JSON is what the API sends. Nothing runs here: a type that is not assignable is
 * an error of the type check.
 */

import type * as Public from "../../daemon/upstash_helper/web/connect/types.js";
import type * as Api from "../../daemon/upstash_helper/web/dashboard/openapi.js";

/** Fields that the API always sends, although its schema has a default for them. */
type Sent<T> = { [Key in keyof T]-?: T[Key] };

export const answers = {
  connection: (it: Sent<Omit<Api.Connection, "detail">> & Pick<Api.Connection, "detail">): Public.Connection => it,
  database: (it: Api.Database): Public.Database => it,
  credentials: (it: Api.DatabaseCredentials): Public.DatabaseCredentials => it,
  region: (it: Api.Region): Public.Region => it,
  problem: (it: Api.Problem): Public.Problem => it,
  scope: (it: Api.TokenInfo["scopes"][number]): Public.Scope => it,
};

export const requests = {
  create: (it: Public.NewDatabase): Api.CreateDatabase => it,
  change: (it: Public.DatabaseChanges): Api.ChangeDatabase => it,
  scope: (it: Public.Scope): Api.TokenInfo["scopes"][number] => it,
};
