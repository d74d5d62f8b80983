"""Immutable files: from a body to shares, and from shares to a body."""
