"""The aiohttp application: routes, connection limits, bodies, problem details, and the OpenAPI document."""
