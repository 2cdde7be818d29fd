"""The findings in NumPy's `.npy` files: an array of Python objects is a pickle."""

from __future__ import annotations

import ast
import dataclasses
import re
import struct

from retrain_tools.errors import InputError
from retrain_tools.safety.findings import Finding, Severity
from retrain_tools.safety.messages import Looked
from retrain_tools.safety.pickles import pickle_findings
from retrain_tools.sources.kinds import Place

_MOST_HEADER = 1 << 20
_OBJECTS = "is an array of Python objects, a pickle that runs where it is loaded with allow_pickle"


def npy_findings(place: Place) -> Looked:
    """Return the findings in a `.npy` file; the pickle of an array of objects is not loaded.

    Raises:
        InputError: its header is damaged.
    """
    with place.path.open("rb") as file:
        magic = file.read(8)
        size_bytes = file.read(2 if magic[6:7] == b"\x01" else 4)
        if len(size_bytes) not in (2, 4):
            raise InputError(f"{place} is cut off; download or copy it again.")
        size = struct.unpack("<H" if len(size_bytes) == 2 else "<I", size_bytes)[0]
        header = file.read(min(size, _MOST_HEADER)).decode("latin-1")
        if not _has_objects(header, place):
            return Looked([], 1)
        found = pickle_findings(file.read(), str(place), "the array")
    # What names nothing harmful is still a pickle, which nobody needs for numbers.
    softer = [
        dataclasses.replace(finding, severity=Severity.MEDIUM, why=_OBJECTS)
        if finding.severity is Severity.LOW
        else finding
        for finding in found
    ]
    return Looked(softer or [Finding(Severity.MEDIUM, "pickle", "O", _OBJECTS, str(place))], 1)


def _has_objects(header: str, place: Place) -> bool:
    try:
        described = repr(ast.literal_eval(header.strip())["descr"])
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError) as error:
        raise InputError(f"{place} is damaged: its header is none of NumPy's.") from error
    return re.search(r"'[|<>=]?O\d*'", described) is not None
