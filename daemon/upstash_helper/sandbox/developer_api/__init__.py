"""The Developer API: authentication, and the endpoints that manage databases."""
