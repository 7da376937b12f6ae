"""How Upstash is reached: its authorization server, its key issuer and its Developer API, over one HTTP client."""
