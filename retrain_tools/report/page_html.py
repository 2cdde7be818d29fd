"""What the pages of comparisons and evaluations are written with: text, tables, small images."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence

from PIL import Image, ImageOps

from retrain_tools.images.batches import BatchedImage
from retrain_tools.images.decode import (
    EXTENSIONS,
    EncodedImage,
    ImageError,
    decode_with_pillow,
    read_image,
)

_THUMBNAIL = 360  # pixels: twice what is shown


def thumbnail(path: str) -> str:
    """Return an image of a file, or of a batch, made small; or a box that says it is not there."""
    try:
        if not isinstance(path, BatchedImage) and not path.lower().endswith(EXTENSIONS):
            raise ImageError("is not on disk")
        read = read_image(path)
        pixels = decode_with_pillow(read.data) if isinstance(read, EncodedImage) else read
    except ImageError:
        return '<div class="none">not on disk</div>'
    small = ImageOps.contain(Image.fromarray(pixels), (_THUMBNAIL, _THUMBNAIL))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=85)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img class="thumbnail" alt="" src="data:image/jpeg;base64,{data}">'


def table_of(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Sequence[int] = (),
    heads: bool = False,
) -> str:
    """Return a table; `heads` makes the first cell of each row a heading."""

    def line(cells: Sequence[str], tag: str) -> str:
        parts = []
        for place, cell in enumerate(cells):
            name = "th" if heads and not place else tag
            kind = ' class="number"' if place in numbers else ""
            if cell in ("agrees", "differs"):
                kind = f' class="{cell}"'
            parts.append(f"<{name}{kind}>{escaped(cell)}</{name}>")
        return f"<tr>{''.join(parts)}</tr>"

    top = f"<thead>{line(head, 'th')}</thead>" if head else ""
    return f"<table>{top}<tbody>{''.join(line(row, 'td') for row in rows)}</tbody></table>"


def escaped(words: str) -> str:
    """Return text so that nothing in it is markup; the name of a file may be any bytes."""
    return html.escape(words.encode("utf-8", "replace").decode("utf-8"))


def png_uri(png: bytes) -> str:
    """Return a PNG as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
