"""The helper's end of its protocols."""
