"""Renewal of the leases of whole trees, as a job of the node that comes back by itself."""
