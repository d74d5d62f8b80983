"""Mutable files: which versions the servers have, read and written."""
