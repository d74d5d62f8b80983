"""The web API of a gateway, as Tahoe-LAFS clients know it."""
