"""The HTTP API: routes under /v1, problem details, and the pages people print."""
