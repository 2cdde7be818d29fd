"""Files of features, written and read a piece at a time; the end of the name says which kind.

A new kind is a module with a `FORMAT`, and a line here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from retrain_tools.errors import InputError, argument
from retrain_tools.extras import import_extra
from retrain_tools.features.stores import hdf5, npy, npz, parquet, pickled
from retrain_tools.features.stores.table import DAMAGE, IMAGES, LABELS, Column, Format, Rows, Table

__all__ = ["DAMAGE", "FORMATS", "Column", "Format", "Rows", "Table"]

FORMATS: dict[str, Format] = {
    ".npz": npz.FORMAT,
    ".npy": npy.FORMAT,
    ".parquet": parquet.FORMAT,
    ".h5": hdf5.FORMAT,
    ".hdf5": hdf5.FORMAT,
    ".pkl": pickled.FORMAT,
}


def store_format(path: str | Path) -> Format:
    """Return the format that the end of a file name stands for.

    Raises:
        InputError: it stands for none, or for one whose package is not installed.
    """
    where = f"{argument('output')}={path}"
    found = FORMATS.get(Path(path).suffix.lower())
    if found is None:
        raise InputError(
            f"{where}: the end of the name chooses the kind of file: {', '.join(FORMATS)}."
        )
    if found.package:
        import_extra(found.package, where)
    return found


def check_contents(path: Path, names: Sequence[str], images: Iterable[str]) -> None:
    """Refuse tensors of these names, or images of these paths, that the store cannot hold.

    Raises:
        InputError: two names would be the same in the store, or a path has a line break in it and
            the store has a path a line; the message says which.
    """
    store = store_format(path)
    lists = (IMAGES, LABELS) if store.holds_texts else ()
    places = {name: name for name in lists}
    for name in names:
        place = store.place(name)
        if place in places:
            other = f"the list of the {place}" if place in lists else repr(places[place])
            raise InputError(f"{name!r} would have the same name in {path} as {other}.")
        places[place] = name
    store.check(path, names, images)
