"""WebDAV: directories for programs that mount and synchronise."""
