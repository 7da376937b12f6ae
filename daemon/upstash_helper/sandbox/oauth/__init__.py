"""The authorization server: sign-in pages, OAuth endpoints, and the tokens that they issue."""
