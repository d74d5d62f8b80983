"""The streaming edge of a Tahoe-LAFS grid."""

__version__ = "0.1.0"
