"""SFTP: directories and files over SSH, version 3 with OpenSSH's extensions."""
