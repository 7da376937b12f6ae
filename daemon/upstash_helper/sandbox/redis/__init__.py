"""The sandbox's databases: their servers, REST API, TLS proxy, and backups."""
