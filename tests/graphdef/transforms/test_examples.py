"""The examples in the docstrings of transforms do what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from retrain_tools.graphdef import transforms

MODULES = [module.name for module in pkgutil.iter_modules(transforms.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(f"{transforms.__name__}.{name}")
    assert doctest.testmod(module).failed == 0
