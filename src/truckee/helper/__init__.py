"""The upload helper: both ends of both its protocols."""
