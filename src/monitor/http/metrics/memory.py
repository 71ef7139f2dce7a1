"""
Memory that the processes of a group share: a file without a name for each, written by one and read by all.

It is inherited like the sockets, so it needs no directory, no other process can open it, and it is gone with the
last process. One that is killed leaves what it wrote last.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
import zlib
from collections.abc import Sequence

COPY_BYTES = 16 << 20
"""Room of one copy. The files are sparse: each takes what was written."""

_HEAD = struct.Struct("<QII")
_TRIES = 3


def make_files(count: int) -> list[int]:
    """Return descriptors of *count* empty files without a name, for a :class:`SharedMemory` in each process."""
    if sys.platform == "linux":
        # In memory also where the file system is read-only.
        return [os.memfd_create("monitor-metrics") for _ in range(count)]
    files = []
    for _ in range(count):
        with tempfile.TemporaryFile() as file:
            files.append(os.dup(file.fileno()))
    return files


class SharedMemory:
    """
    The parts of all processes of a group, of which this one writes its own.

    There is no lock, which a process that is killed or stopped could hold: a part has two copies, each with its number,
    length and checksum, and the older one is overwritten. A reader takes the newest copy that is whole.

    Args:
        files: what :func:`make_files` returned, in the same order in each process.
        own: the position of this process's part.
    """

    def __init__(self, files: Sequence[int], own: int) -> None:
        self._files = tuple(files)
        self.own = own
        self._number = max((number for number, _ in self._copies(own)), default=0)

    def __len__(self) -> int:
        return len(self._files)

    def write(self, data: bytes) -> None:
        """
        Replace the part of this process.

        Raises:
            ValueError: it is larger than :data:`COPY_BYTES`.
        """
        if len(data) > COPY_BYTES - _HEAD.size:
            raise ValueError(f"the metrics of a process take {len(data)} bytes, more than the {COPY_BYTES} of a part")
        self._number += 1
        head = _HEAD.pack(self._number, len(data), _checksum(self._number, data))
        os.pwrite(self._files[self.own], head + data, self._number % 2 * COPY_BYTES)

    def read(self, part: int) -> bytes | None:
        """Return what was last written to *part*; ``None`` if nothing was."""
        for _ in range(_TRIES):
            copies = sorted(self._copies(part), reverse=True)
            if copies or not os.fstat(self._files[part]).st_size:
                break
        return copies[0][1] if copies else None

    def _copies(self, part: int) -> list[tuple[int, bytes]]:
        found = []
        for offset in (0, COPY_BYTES):
            head = os.pread(self._files[part], _HEAD.size, offset)
            if len(head) < _HEAD.size:
                continue
            number, length, checksum = _HEAD.unpack(head)
            data = os.pread(self._files[part], min(length, COPY_BYTES), offset + _HEAD.size)
            if number and len(data) == length and _checksum(number, data) == checksum:
                found.append((number, data))
        return found


def _checksum(number: int, data: bytes) -> int:
    # With all of the number, or that of nothing would be the one of a head of which a part was written.
    return zlib.crc32(data, zlib.crc32(number.to_bytes(8, "little")))
