"""What images are, without decoding them: their kinds of files and their sizes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

from PIL import Image

Size = tuple[int, int]

UNKNOWN = "unknown"
PIXELS = "pixels"
"""The kind of images that are an array: nobody knows what files they came from."""

_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
_MPO = "MPO"  # a phone's JPEG with a second image in it


@dataclasses.dataclass(frozen=True)
class ImageFacts:
    """How many images are of each kind and size.

    Attributes:
        kinds: by Pillow's name of the format, or PIXELS.
        sizes: by (height, width).
    """

    kinds: Mapping[str, int]
    sizes: Mapping[Size, int]

    @property
    def size(self) -> Size | None:
        """The size of all, where they have one."""
        return next(iter(self.sizes)) if len(self.sizes) == 1 else None

    def words(self) -> str:
        """Say it: `JPEG 12, PNG 3; 64×64`."""
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in self.kinds.items())
        return "; ".join(filter(None, (kinds, self.size_words())))

    def size_words(self) -> str:
        """Say the sizes."""
        if not self.sizes:
            return ""
        least, most = (
            "×".join(map(str, size))
            for size in (f(self.sizes, key=lambda s: (s[0] * s[1], s)) for f in (min, max))
        )
        return least if len(self.sizes) == 1 else f"{len(self.sizes)} sizes, {least} to {most}"


NO_FACTS = ImageFacts({}, {})


def image_facts(paths: Iterable[str]) -> ImageFacts:
    """Read the headers of image files; what cannot be read counts as UNKNOWN, without a size."""
    kinds, sizes = Counter[str](), Counter[Size]()
    for path in paths:
        try:
            with Image.open(path) as image:
                kind = "JPEG" if image.format == _MPO else str(image.format)
                sizes[image.height, image.width] += 1
        except _DAMAGE:
            kind = UNKNOWN
        kinds[kind] += 1
    return ImageFacts(dict(kinds.most_common()), dict(sizes.most_common()))
