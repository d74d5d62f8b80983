"""Resumable uploads as tus clients know them."""
