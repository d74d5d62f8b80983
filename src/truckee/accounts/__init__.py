"""Who may log in, with what, and at which directory: accounts of WebDAV and SFTP."""
