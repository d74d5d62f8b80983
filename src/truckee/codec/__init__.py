"""
The pure layer: caps, hashes, trees, ciphers and share layouts.

Nothing here knows of Twisted, files, clocks or logs.  The formats are described in
``docs/formats/immutable.md`` and ``docs/formats/mutable.md``; docstrings name their
sections.
"""
