"""Resumable uploads: open between requests, and between processes."""
