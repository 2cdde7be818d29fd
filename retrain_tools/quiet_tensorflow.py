"""TensorFlow, imported on first use and without its start-up noise: `from … import tf`.

Importing TensorFlow takes seconds and writes to file descriptor 2 before any log level applies, so
`--help` and plain mistakes should not pay for it and nobody should read about missing CUDA drivers.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def stderr_held_back() -> Iterator[None]:
    """Hold back what C++ code writes to descriptor 2; replay it if the block fails."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


class _LazyTensorFlow:
    """Stands for the `tensorflow` module and imports it when an attribute is first asked for."""

    def __getattr__(self, name: str) -> Any:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        with stderr_held_back():
            module = importlib.import_module("tensorflow")
            module.config.list_physical_devices()  # looks for CUDA, and complains, only once
            value = getattr(module, name)
        setattr(self, name, value)
        return value


tf: Any = _LazyTensorFlow()
