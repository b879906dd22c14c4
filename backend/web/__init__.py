"""Templates and styles of the pages; the routes in `backend.api` render them."""
