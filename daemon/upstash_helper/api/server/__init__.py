"""HTTP plumbing: connection limits, request bodies, route declarations, rendering, problem details, and OpenAPI."""
