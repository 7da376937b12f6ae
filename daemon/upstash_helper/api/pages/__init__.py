"""The pages that a browser loads from the daemon: sign-in results, the dashboard's files, and the bridge."""
