"""The sandbox's databases: real servers, their REST API, TLS, and backups."""
