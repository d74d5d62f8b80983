"""HTTP/1.1 whose request bodies stream."""
