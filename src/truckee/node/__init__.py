"""A node: its directory, its configuration, its keys, and all its parts wired together."""
