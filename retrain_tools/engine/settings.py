"""How a graph is run on images: what it takes, how exactly, and how fast."""

from __future__ import annotations

import dataclasses

from retrain_tools.engine.cpu import has_bfloat16
from retrain_tools.errors import InputError, argument
from retrain_tools.images.decode import MAX_PIXELS

FLOAT32 = "float32"
BFLOAT16 = "bfloat16"
PRECISIONS = (FLOAT32, BFLOAT16, "auto")
"""The values of `precision`."""


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """How a graph is run. The fields are called as the scripts' flags.

    Attributes:
        max_image_pixels: the largest width × height of an image to accept.
        precision: `float32`, which is exact; `bfloat16`, faster where the CPU has it; `auto` is
            bfloat16 there and float32 elsewhere.
        batch_size: images that go through the network at a time; None for what is fastest.
        threads: batches that are worked on at the same time; None for one on each core.
        self_check: compare one image with the untouched graph when a graph is run the first time.
        model_dir: where plans are kept, in its folder `plans`; None for the user's cache folder.

    Raises:
        InputError: a number is below 1, or bfloat16 is asked for where the CPU does not have it.
    """

    max_image_pixels: int = MAX_PIXELS
    precision: str = FLOAT32
    batch_size: int | None = None
    threads: int | None = None
    self_check: bool = True
    model_dir: str | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{argument(name)}={value} must be at least 1.")
        if self.precision not in PRECISIONS:
            raise InputError(
                f"{argument('precision')}={self.precision} must be {', '.join(PRECISIONS[:-1])} or "
                f"{PRECISIONS[-1]}."
            )
        if self.precision == BFLOAT16 and not has_bfloat16():
            raise InputError(
                f"{argument('precision')}=bfloat16 needs a CPU that computes in it (AMX or "
                "AVX512_BF16), which this one does not; leave it out for float32."
            )

    @property
    def computed_in(self) -> str:
        """The precision that `auto` means here: `float32` or `bfloat16`."""
        if self.precision == "auto":
            return BFLOAT16 if has_bfloat16() else FLOAT32
        return self.precision

    @property
    def is_exact(self) -> bool:
        """Whether values are those of the untouched graph, but for rounding."""
        return self.computed_in == FLOAT32

    def exact(self) -> RunSettings:
        """Return the same without what makes values inexact."""
        return dataclasses.replace(self, precision=FLOAT32)


DEFAULTS = RunSettings()
"""As a graph is run where nothing is said."""
