"""The memory that images take while they are decoded: workers share what the machine has left."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from retrain_tools.engine.memory import available_memory
from retrain_tools.images.decode import Admit, ImageError

_SMALL = 1 << 26  # bytes; smaller images, of some five megapixels, are never waited for
_PART = 2  # of what is free: the rest is for the network, results, and other programs


class DecodingMemory:
    """Half of the free memory, shared by threads that decode images."""

    def __init__(
        self, more_per_pixel: int = 0, available: Callable[[], int | None] | None = None
    ) -> None:
        """Nothing is taken yet.

        A pixel takes `more_per_pixel` bytes beside what decoding takes; `available` tells how many
        bytes are free, None if nobody knows; it is `available_memory` unless it is given.
        """
        self._more_per_pixel, self._available = more_per_pixel, available or available_memory
        self._taken = 0
        self._most: int | None = None
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def share(self) -> Iterator[Admit]:
        """Yield what takes bytes for one image, once, and waits until others have freed theirs.

        They are free again at the end of the block. What is called raises ImageError of the kind
        `memory` where one image would take more than there may be for all.
        """
        taken = 0

        def take(needed: int, pixels: int) -> None:
            nonlocal taken
            needed += self._more_per_pixel * pixels
            if needed < _SMALL:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._fits(needed))
                self._taken += needed
                taken = needed

        try:
            yield take
        finally:
            if taken:
                with self._changed:
                    self._taken -= taken
                    self._changed.notify_all()

    def _fits(self, needed: int) -> bool:
        if not self._taken:  # what others hold counts neither as free nor as used up
            free = self._available()
            self._most = None if free is None else free // _PART
            if self._most is not None and needed > self._most:
                raise ImageError(
                    f"may take {_megabytes(needed)} to decode, and no more than "
                    f"{_megabytes(self._most)} are left for that: half of the free memory",
                    "memory",
                )
        return self._most is None or self._taken + needed <= self._most


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
