"""
The pure layer: caps, hashes, trees, ciphers and share layouts.

Nothing here knows of Twisted, files, clocks or logs.  Every format is described in
``docs/formats/immutable.md``; docstrings name its sections.
"""
