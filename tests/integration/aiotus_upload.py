"""
A program that uploads a file with aiotus, which has an event loop of its own.

    python -m tests.integration.aiotus_upload URL FILE...

It prints what the client says that the upload's address is; of several files, which come
at once and are put together, that of the whole.  Then it prints the metadata there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from importlib import import_module
from typing import Any

aiotus: Any = import_module("aiotus")


async def main() -> None:
    """Upload, and ask for what is known of it."""
    url, *paths = sys.argv[1:]
    metadata = {"filename": "ü b.bin".encode(), "empty": None}
    with contextlib.ExitStack() as opened:
        files = [opened.enter_context(open(path, "rb")) for path in paths]
        if len(files) == 1:
            where = await aiotus.upload(url, files[0], metadata, chunksize=1 << 20)
        else:
            where = await aiotus.upload_multiple(url, files, metadata, chunksize=1 << 20)
    print(where)
    found = await aiotus.metadata(str(where))
    told = {} if found is None else found
    print(json.dumps({key: value and value.decode() for key, value in told.items()}))


if __name__ == "__main__":
    asyncio.run(main())
