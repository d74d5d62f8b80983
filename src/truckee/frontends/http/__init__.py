"""What the frontends over HTTP share: arguments, conditions, ranges, forms."""
