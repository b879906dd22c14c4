"""A registry to talk to: an HTTP service with its own database that behaves like a programme's.

It imports nothing of Causeway but the errors and the ranges of serials: what it knows of a request
is what came over the wire, as with a real registry.
"""
