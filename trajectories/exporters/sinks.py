"""A file that never fails in the middle of the HDF5 library.

The library, told that a disk is full, cannot close the file any more and takes the process down. So it writes through
this object, which keeps the first error to itself, drops everything after it, and raises it when asked.
"""

import io
import os
from pathlib import Path


class Sink(io.RawIOBase):
    """A new file for h5py to write to and read back from. Ask `check` now and then, and once after closing."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        self._position = 0
        self._end = 0
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the error that writing met, if it did.

        Raises:
            OSError: what the operating system said first.
        """
        if self._error is not None:
            raise self._error

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self._error is None and done < len(view):
                done += os.pwrite(self._descriptor, view[done:], self._position + done)
        except OSError as error:
            self._error = error
        self._position += len(view)
        self._end = max(self._end, self._position)
        return len(view)

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        view = memoryview(buffer).cast("B")
        data = os.pread(self._descriptor, len(view), self._position)
        # What was dropped reads as zeros; nobody will see the file.
        wanted = max(min(len(view), self._end - self._position), 0)
        view[:wanted] = data[:wanted].ljust(wanted, b"\0")
        self._position += wanted
        return wanted

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def truncate(self, size: int | None = None) -> int:
        self._end = self._position if size is None else size
        try:
            if self._error is None:
                os.ftruncate(self._descriptor, self._end)
        except OSError as error:
            self._error = error
        return self._end

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
