"""From shares on servers to plaintext, any range of it."""
