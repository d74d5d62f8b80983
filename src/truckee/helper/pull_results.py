"""
What a helper tells a stock client of a file, as it goes over the wire.

Source: ``docs/formats/helper-stock.md``, "Results".
"""

from __future__ import annotations

from foolscap.api import Copyable, RemoteCopy


class UploadResults(Copyable, RemoteCopy):
    """Goes over the wire by value.  A peer's may hold anything, or nothing."""

    typeToCopy = copytype = "allmydata.upload.UploadResults.tahoe.allmydata.com"
