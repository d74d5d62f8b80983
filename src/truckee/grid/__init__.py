"""Which servers there are, and which of them hold what."""
