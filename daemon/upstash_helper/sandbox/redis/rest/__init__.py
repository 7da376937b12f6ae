"""The databases' REST API: Redis commands over HTTP, as Upstash's client libraries send them."""
