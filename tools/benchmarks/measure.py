"""Calls one function of this package: `python -m benchmarks.measure MODULE.FUNCTION ARGUMENTS`.

The arguments are an object of JSON, and so is the last line printed: what the function returned, or
why it could not be measured here.
"""

from __future__ import annotations

import importlib
import json
import sys

from benchmarks.records import LeftOut


def main(function: str, arguments: str) -> None:
    """Call it and print what it returns."""
    module, _, name = function.rpartition(".")
    try:
        found = getattr(importlib.import_module(f"benchmarks.{module}"), name)(
            **json.loads(arguments)
        )
    except ModuleNotFoundError as error:
        found = {"left_out": f"{error.name} is not installed"}
    except LeftOut as reason:
        found = {"left_out": str(reason)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
