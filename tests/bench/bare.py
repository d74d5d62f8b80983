"""
The bare loops: the primitives of an upload, or of a download, and nothing else.

AES-CTR, the flat hash, the segment hash, zfec, the block hashes, and the blocks written to
one file for each share, on as many threads as there are cores.  No network, no protocol,
no trees, no leases.
"""

from __future__ import annotations

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import zfec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

SEGMENT = 1048578  # 1 MiB rounded up to a multiple of 3
SYNC_EVERY = 4 << 20  # bytes of one share between two fdatasync calls, as the server does


def bare_upload(
    directory: Path, size: int, *, sync: bool, k: int = 3, n: int = 10
) -> float:
    """Return the seconds that *size* bytes take; *sync*: durable, as the node does it."""
    encoder = zfec.Encoder(k, n)
    block = SEGMENT // k
    plaintext = os.urandom(SEGMENT)
    key = os.urandom(16)
    flat = sha256()
    with tempfile.TemporaryDirectory(dir=directory) as place:
        files = [
            os.open(f"{place}/{share}", os.O_RDWR | os.O_CREAT | os.O_EXCL)
            for share in range(n)
        ]

        def segment(number: int) -> None:
            offset = number * SEGMENT
            ciphertext = memoryview(_crypt(key, offset, plaintext))
            flat.update(ciphertext)
            sha256(ciphertext).digest()
            primary = [ciphertext[i * block : (i + 1) * block] for i in range(k)]
            blocks = [*primary, *encoder.encode(primary, list(range(k, n)))]
            for share, data in enumerate(blocks):
                sha256(data).digest()
                os.pwrite(files[share], data, number * block)
                before, after = number * block, (number + 1) * block
                if sync and after // SYNC_EVERY > before // SYNC_EVERY:
                    os.fdatasync(files[share])

        started = time.perf_counter()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(segment, range(-(-size // SEGMENT))))
            if sync:
                list(pool.map(os.fsync, files))
        seconds = time.perf_counter() - started
        for file in files:
            os.close(file)
    return seconds


def bare_download(directory: Path, size: int, *, k: int = 3) -> float:
    """
    Return the seconds that *size* bytes take out of the first k shares, which need no code.

    The block hashes, the segment hash and AES-CTR, on as many threads as there are cores.
    """
    block = SEGMENT // k
    key = os.urandom(16)
    with tempfile.TemporaryDirectory(dir=directory) as place:
        files = []
        for share in range(k):
            path = Path(place) / str(share)
            with path.open("wb") as file:
                for _ in range(-(-size // SEGMENT)):
                    file.write(os.urandom(block))
            files.append(os.open(path, os.O_RDONLY))

        def segment(number: int) -> None:
            blocks = [os.pread(file, block, number * block) for file in files]
            for data in blocks:
                sha256(data).digest()
            ciphertext = b"".join(blocks)
            sha256(ciphertext).digest()
            _crypt(key, number * SEGMENT, ciphertext)

        started = time.perf_counter()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(segment, range(-(-size // SEGMENT))))
        seconds = time.perf_counter() - started
        for opened in files:
            os.close(opened)
    return seconds


def _crypt(key: bytes, offset: int, data: bytes) -> bytes:
    counter = (offset // 16).to_bytes(16, "big")
    return Cipher(AES(key), CTR(counter)).encryptor().update(data)
