// Generated from /openapi.json by tests/javascript/api_types.py; do not edit. CONTRIBUTING.md says how.

export interface Account {
  email: string;
  team_id?: string | null;
  team_role?: string | null;
}

export interface ApiKey {
  email: string;
  api_key: string;
}

export interface App {
  id: string;
  name: string;
  identity: Identity;
  scopes: Array<RequestedScope>;
  all_databases: boolean;
  created_at: string;
  last_used_at: string;
  expires_at: string | null;
  folders?: Array<string>;
  mismatches: number;
  audience?: "api" | "mcp";
  all_databases_meaning?: string | null;
}

export interface AppList {
  apps: Array<App>;
}

export interface Approve {
  scopes?: Array<"connection:read" | "connection:write" | "databases:commands" | "databases:credentials" | "databases:delete" | "databases:read" | "databases:write" | "upstash:read" | "upstash:write"> | null;
  all_databases?: boolean;
  once?: boolean;
}

export interface Attempt {
  recorded?: boolean;
  notice?: string;
  attempt_id: string;
  state: "confirmation_required" | "exchanging" | "expired" | "failed" | "pending" | "succeeded";
  expires_at: string;
  waiting?: "no_callback";
  title?: string;
  reason?: string;
  detail?: string;
  next_steps?: Array<NextStep>;
  replacement?: Replacement;
}

export interface AuditEntry {
  id: number;
  at: string;
  last_at: string;
  count: number;
  app_id: string;
  app_name: string;
  identity: string;
  action: string;
  target: string;
  result: string;
}

export interface AuditPage {
  entries: Array<AuditEntry>;
  next_page_token?: string | null;
}

export interface BeginSession {
  ticket: string;
}

export interface Block {
  scope?: "identity" | "site";
}

export interface BlockList {
  blocks: Array<Blocked>;
}

export interface Blocked {
  recorded?: boolean;
  notice?: string;
  id: string;
  identity: Identity;
  site?: Site | null;
  blocked_at: string;
}

export interface ChangeDatabase {
  name?: string;
  eviction?: boolean;
  auto_upgrade?: boolean;
  daily_backup?: boolean;
  read_regions?: Array<string>;
  plan?: "fixed_100gb" | "fixed_10gb" | "fixed_1gb" | "fixed_250mb" | "fixed_500gb" | "fixed_50gb" | "fixed_5gb" | "free" | "payg";
  budget?: number;
  tls?: true;
}

export interface ClientMetadata {
  redirect_uris: Array<string>;
  client_name?: string | null;
  grant_types?: Array<string> | null;
  response_types?: Array<string> | null;
}

export interface Confirmation {
  recorded?: boolean;
  notice?: string;
  id: string;
  app_id: string;
  identity: Identity;
  claimed_name: string;
  action: string;
  title: string;
  detail: string;
  target: string;
  lasting?: boolean;
  state: "allowed" | "denied" | "expired" | "pending";
  created_at: string;
  expires_at: string;
}

export interface ConfirmationList {
  confirmations: Array<Confirmation>;
}

export interface Connect {
  open_browser?: boolean | null;
  force?: boolean;
}

export interface Connection {
  state: "connected" | "connecting" | "disconnected" | "keyring_locked" | "keyring_unavailable" | "needs_email" | "port_conflict" | "reconnect_required";
  title?: string;
  detail?: string;
  next_steps?: Array<NextStep>;
  account?: Account | null;
  access?: "full" | "read_only" | null;
  method?: "api_key" | "grant" | "oauth" | null;
  sign_in?: "open" | "partner" | null;
  since?: string | null;
  api_key_name?: string | null;
  grant_name?: string | null;
  attempt?: Attempt | null;
  credential_store?: CredentialStoreStatus | null;
  already_connected?: boolean;
  can_sign_in?: boolean;
}

export interface CreateDatabase {
  name: string;
  primary_region: string;
  read_regions?: Array<string>;
  platform?: "aws" | "gcp" | null;
  plan?: "fixed_100gb" | "fixed_10gb" | "fixed_1gb" | "fixed_250mb" | "fixed_500gb" | "fixed_50gb" | "fixed_5gb" | "free" | "payg" | null;
  budget?: number | null;
  eviction?: boolean | null;
  tls?: boolean | null;
}

export interface CredentialStoreStatus {
  kind: string;
  state: "locked" | "ok" | "unavailable" | "unknown";
  detail?: string;
}

export interface DaemonStatus {
  version: string;
  api_version: number;
  pid: number;
  profile: string;
  started_at: string;
  listeners: Array<Listener>;
  connection: Connection;
  hints?: Array<Hint>;
  log_file?: string | null;
  ledger?: LedgerStatus | null;
  tray?: TrayStatus | null;
  console_url?: string | null;
  auth_url?: string | null;
  api_url?: string | null;
  upstream?: "custom" | "sandbox" | "upstash";
  started_by?: "service" | "socket" | "user";
  open_browser?: boolean;
  auto_approve?: boolean;
  network?: Network | null;
}

export interface DashboardSession {
  token: string;
  expires_at: string;
}

export interface DashboardShown {
  opened: boolean;
}

export interface DashboardTicket {
  url: string;
  numeric_url?: string | null;
  link?: string | null;
  expires_at: string;
  recorded?: boolean;
  notice?: string;
}

export interface Database {
  id: string;
  name: string;
  state: string;
  host: string;
  port: number;
  tls: boolean;
  rest_url: string;
  plan: string;
  primary_region: string;
  read_regions: Array<string>;
  eviction: boolean;
  auto_upgrade: boolean;
  daily_backup: boolean;
  budget: number | null;
  created_at: string;
}

export interface DatabaseCredentials {
  id: string;
  name: string;
  host: string;
  port: number;
  tls: boolean;
  username: string;
  password: string;
  redis_url: string;
  rest_url: string;
  rest_token: string;
  read_only_rest_token: string;
  env: Record<string, string>;
  ca_file?: string | null;
  ca_usage?: Record<string, string>;
}

export interface DatabaseList {
  databases: Array<Database>;
  next_page_token?: string | null;
}

export interface Disconnected {
  recorded?: boolean;
  notice?: string;
  api_key_name: string | null;
  grant_name?: string | null;
  detail: string;
}

export interface Email {
  email: string;
}

export interface FieldError {
  pointer: string;
  detail: string;
}

export interface Health {
  status?: "ok";
  service?: "upstash-helper";
}

export interface Hint {
  code: string;
  detail: string;
}

export interface Identity {
  kind: "extension" | "native" | "web";
  name: string;
  shown: string;
  program?: string;
  pid?: number | null;
  shown_without_process?: string;
  sent_by?: string;
  warnings?: Array<IdentityWarning>;
  others?: Array<string>;
}

export interface IdentityWarning {
  code: "deleted" | "replaced" | "sandboxed" | "shared" | "unknown_starter" | "unprintable" | "unsearched";
  text: string;
}

export interface LedgerStatus {
  state: "memory" | "ok" | "unavailable" | "unused";
  detail?: string;
}

export interface Listener {
  address: string;
  state: "absent" | "listening" | "on_demand" | "taken";
  holder?: string | null;
  use?: "all" | "api" | "sign_in";
}

export interface Network {
  proxy?: string | null;
  proxy_source?: string | null;
  no_proxy?: string | null;
  ca_file?: string | null;
}

export interface NewToken {
  token: string;
  app_id: string;
  scopes: Array<"connection:read" | "connection:write" | "databases:commands" | "databases:credentials" | "databases:delete" | "databases:read" | "databases:write" | "upstash:read" | "upstash:write">;
  all_databases: boolean;
  expires_at: string | null;
}

export interface NextStep {
  text: string;
  command?: string;
}

export interface OAuthProblem {
  error: string;
  error_description: string;
}

export interface Pairing {
  recorded?: boolean;
  notice?: string;
  id: string;
  identity: Identity;
  claimed_name: string;
  user_code: string;
  scopes: Array<RequestedScope>;
  reason: string;
  state: "approved" | "denied" | "expired" | "pending";
  all_databases_meaning: string | null;
  site?: Site | null;
  created_at: string;
  expires_at: string;
  via_bridge?: boolean;
  same_program?: string | null;
  replaces?: string | null;
  repeated?: boolean;
  replaced_by?: string | null;
}

export interface PairingList {
  pairings: Array<Pairing>;
}

export interface PairingRequest {
  name: string;
  scopes: Array<"connection:read" | "connection:write" | "databases:commands" | "databases:credentials" | "databases:delete" | "databases:read" | "databases:write" | "upstash:read" | "upstash:write">;
  reason?: string;
  connect_if_needed?: boolean;
  audience?: "api" | "mcp";
  for_starter?: boolean;
}

export interface PairingStatus {
  id: string;
  state: "approved" | "denied" | "expired" | "pending";
  user_code: string;
  expires_at: string;
  replaced?: boolean;
}

export interface PastedAddress {
  address: string;
}

export interface Problem {
  status: number;
  code: string;
  title: string;
  detail: string;
  type?: string;
  errors?: Array<FieldError>;
  error?: string;
  retry_after?: number;
  applied?: Array<string>;
  links?: Record<string, string>;
}

export interface Proof {
  proof: string | null;
}

export interface Recorded {
  recorded?: boolean;
  notice?: string;
}

export interface Region {
  id: string;
  name: string;
  platform: "aws" | "gcp";
  primary: boolean;
  read: boolean;
}

export interface RegionList {
  regions: Array<Region>;
}

export interface RegisteredClient {
  client_id: string;
  client_id_issued_at: number;
  client_name: string;
  redirect_uris: Array<string>;
  grant_types?: Array<string>;
  response_types?: Array<string>;
  token_endpoint_auth_method?: string;
  application_type?: string;
}

export interface RenameApp {
  name: string;
}

export interface Replacement {
  title: string;
  detail: string;
  replaces: string | null;
  email: string | null;
  requested_by: string;
  claimed_name: string;
}

export interface RequestedScope {
  scope: "connection:read" | "connection:write" | "databases:commands" | "databases:credentials" | "databases:delete" | "databases:read" | "databases:write" | "upstash:read" | "upstash:write";
  meaning: string;
  strong?: boolean;
}

export interface ResourceMetadata {
  resource: string;
  authorization_servers: Array<string>;
  scopes_supported: Array<string>;
  bearer_methods_supported?: Array<string>;
  resource_name?: string;
}

export interface RevocationForm {
  token: string;
  client_id: string;
  token_type_hint?: string | null;
}

export interface ServerMetadata {
  issuer: string;
  authorization_endpoint: string;
  token_endpoint: string;
  registration_endpoint: string;
  revocation_endpoint: string;
  scopes_supported: Array<string>;
  response_types_supported?: Array<string>;
  response_modes_supported?: Array<string>;
  grant_types_supported?: Array<string>;
  token_endpoint_auth_methods_supported?: Array<string>;
  revocation_endpoint_auth_methods_supported?: Array<string>;
  code_challenge_methods_supported?: Array<string>;
  authorization_response_iss_parameter_supported?: boolean;
  client_id_metadata_document_supported?: boolean;
}

export interface ShowDashboard {
  section?: "connect" | "key" | "overview";
}

export interface Site {
  kind: "domain" | "loopback" | "programs";
  shown: string;
  detail: string;
}

export interface StartedAttempt {
  recorded?: boolean;
  notice?: string;
  attempt_id: string;
  state: "confirmation_required" | "exchanging" | "expired" | "failed" | "pending" | "succeeded";
  expires_at: string;
  waiting?: "no_callback";
  title?: string;
  reason?: string;
  detail?: string;
  next_steps?: Array<NextStep>;
  replacement?: Replacement;
  authorization_url?: string;
  link?: string;
  browser_opened?: boolean;
  browser_retry_after?: number;
  joined?: boolean;
}

export interface StartedPairing {
  id: string;
  poll_secret: string;
  user_code: string;
  expires_at: string;
  interval: number;
}

export interface Stopping {
  recorded?: boolean;
  notice?: string;
  status: "ok";
  service: "upstash-helper";
}

export interface TokenForm {
  grant_type: string;
  client_id: string;
  code?: string | null;
  redirect_uri?: string | null;
  code_verifier?: string | null;
  refresh_token?: string | null;
  resource?: string | null;
  scope?: string | null;
}

export interface TokenInfo {
  kind: "app" | "owner";
  app_id?: string | null;
  name: string;
  identity?: Identity | null;
  scopes: Array<"connection:read" | "connection:write" | "databases:commands" | "databases:credentials" | "databases:delete" | "databases:read" | "databases:write" | "upstash:read" | "upstash:write">;
  all_databases: boolean;
  expires_at?: string | null;
}

export interface TokenResponse {
  access_token: string;
  token_type?: string;
  expires_in: number;
  refresh_token: string;
  scope: string;
}

export interface TrayStatus {
  state: "attached" | "unavailable";
  detail?: string;
  backend?: string | null;
  notifies?: boolean;
  since?: string | null;
}
