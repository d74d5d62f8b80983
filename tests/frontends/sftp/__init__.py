"""The parts of WebDAV."""
