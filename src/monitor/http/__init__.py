"""The HTTP surface: tokens, problems, bodies and the plumbing around every route."""
