"""The gateway's end of a helper's protocols."""
