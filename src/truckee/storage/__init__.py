"""Storage servers and the ways to reach them."""
