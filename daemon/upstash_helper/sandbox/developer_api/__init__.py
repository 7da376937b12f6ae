"""The sandbox's Developer API: accounts, API keys, and the control plane of databases."""
