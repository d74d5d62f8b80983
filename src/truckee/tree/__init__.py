"""Names instead of caps: directories, paths through them, and links that are set."""
