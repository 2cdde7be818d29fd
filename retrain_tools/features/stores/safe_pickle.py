"""Reads a pickle of features without running it: dicts, lists, texts, numbers and NumPy arrays.

A pickle is a program that calls what it names. Here what it may name is a table of a dozen words,
and each stands for a function of this module that checks what it is given; NumPy's own constructors
are never called with it.
"""

from __future__ import annotations

import io
import itertools
import pickle
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.features.stores.table import ExpansionError, check_expansion

_NUMBERS = re.compile(r"[<>=|]?[fiub?][0-9]{0,2}|[<>=|]?[SU][0-9]{1,6}")
_MOST_AXES = 32
_DAMAGE = (
    *(pickle.UnpicklingError, EOFError, IndexError, KeyError, ValueError, AttributeError),
    *(TypeError, OverflowError, MemoryError, struct.error, RecursionError),
)


class RefusedError(ValueError):
    """A pickle names or does something that features have no need of; the message says what."""


def read_pickle(path: Path) -> Any:
    """Return what a pickle of protocol 0 to 5, of Python 2 or 3, holds.

    Texts of Python 2 come as bytes. Arrays are those of the file's bytes: no copies.

    Returns:
        dicts, lists, tuples, str, bytes, numbers, and arrays of numbers or texts.

    Raises:
        RefusedError: it names anything else, or an array is of objects.
        ValueError: it is damaged, cut off, or no pickle.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    try:
        made = _Unpickler(io.BytesIO(data), encoding="bytes", size=len(data)).load()
        opened = _opened(made, itertools.count(len(data) + 100, -1))
        check_expansion(_bytes_in(opened), path)
        return opened
    except (RefusedError, ExpansionError):
        raise
    except _DAMAGE as error:
        raise ValueError("a damaged or cut-off pickle") from error


class _DType:
    """A dtype to be: its code, and the byte order that its state gives."""

    def __init__(self, code: Any, *_: Any) -> None:
        self._code, self._is_big = _text(code), False

    def build(self, state: Any) -> None:
        self._is_big = _text(state[1]) == ">"

    def dtype(self) -> np.dtype[Any]:
        if self._code.lstrip("<>=|") in ("O", "O8", "O4"):
            raise RefusedError("holds an array of Python objects, not of numbers")
        if not _NUMBERS.fullmatch(self._code):
            raise RefusedError(f"holds an array of type {self._code[:40]!r}, not of numbers")
        found = np.dtype(self._code)
        return found.newbyteorder(">") if self._is_big else found


class _Array:
    """An array to be: its shape, dtype and bytes, looked at when it is asked for."""

    def __init__(self) -> None:
        self._state: tuple[Any, Any, Any, str] | None = None

    def build(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        self._state = shape, dtype, data, "F" if is_fortran else "C"

    @classmethod
    def of(cls, shape: Any, dtype: Any, data: Any, order: str = "C") -> _Array:
        made = cls()
        made._state = shape, dtype, data, order
        return made

    def array(self) -> npt.NDArray[Any]:
        if self._state is None:
            raise ValueError("an array without values")
        shape, dtype, data, order = self._state
        kind = (dtype if isinstance(dtype, _DType) else _DType(dtype)).dtype()
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        if len(sizes) > _MOST_AXES or not all(type(d) is int and d >= 0 for d in sizes):
            raise ValueError("an array of no sound shape")
        if not isinstance(data, (bytes, bytearray)):
            raise ValueError("an array without bytes")
        count = 1
        for size in sizes:
            count *= size
        if count * kind.itemsize != len(data):
            raise ValueError("an array whose bytes do not fit its shape")
        if not data:
            return np.zeros(sizes, kind)
        return np.frombuffer(data, kind).reshape(sizes, order="F" if order == "F" else "C")


def _reconstruct(kind: Any, *_: Any) -> _Array:
    if kind is not _ndarray:
        raise ValueError("an array of another class")
    return _Array()


def _ndarray(shape: Any, dtype: Any = "f8", buffer: Any = None) -> _Array:
    return _Array.of(shape, dtype, buffer)  # as our own .pkl has them


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any = "C", axes: Any = None) -> _Array:
    if axes is not None:
        raise RefusedError("holds an array whose axes are permuted")
    return _Array.of(shape, dtype, data, _text(order))


def _scalar(dtype: Any, data: Any) -> _Array:
    return _Array.of((), dtype, data)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Give back the bytes that Python 3 writes as text for Python 2's sake."""
    if not isinstance(text, str) or _text(encoding) not in ("latin1", "latin-1"):
        raise ValueError("bytes in another encoding")
    return text.encode("latin1")


def _bytes(*arguments: Any) -> bytes:
    match arguments:
        case ():
            return b""
        case (bytes() | bytearray() as data,):
            return bytes(data)
        case (str() as text, encoding):
            return _encode(text, encoding)
    raise ValueError("bytes of no bytes")  # bytes(10 ** 12) would be as many


def _empty(kind: type[Any]) -> Callable[[], Any]:
    return lambda: kind()  # and no more: a copy for every few bytes of the file would be endless


_BUILTINS = {
    **{kind.__name__: _empty(kind) for kind in (dict, list, tuple)},
    "bytes": _bytes,
    "bytearray": _bytes,
}
_ADMITTED: dict[tuple[str, str], Any] = {
    **{(module, name): made for module in ("builtins", "__builtin__")
       for name, made in _BUILTINS.items()},
    **{(f"numpy.{core}.multiarray", name): made for core in ("core", "_core")
       for name, made in (("_reconstruct", _reconstruct), ("scalar", _scalar))},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,
}  # fmt: skip


# Python's unpickler in Python, not in C: its memo is a dict, where that in C makes room for as many
# entries as a number in the file says (until 3.13), and it can be told which steps there are.
_Steps: Any = pickle._Unpickler  # whose steps typeshed does not list


class _Unpickler(_Steps):  # type: ignore[misc]
    def __init__(self, file: io.BytesIO, *, encoding: str, size: int) -> None:
        super().__init__(file, encoding=encoding)
        self._size = self._bytes_left = size  # that calls may make: no more than the file has

    def find_class(self, module: str, name: str) -> Any:
        found = _ADMITTED.get((_text(module), _text(name)))
        if found is None:
            named = f"{_text(module)}.{_text(name)}"[:120]
            raise RefusedError(f"names {named!a}, which is no part of features")
        return found

    def _refuse(self) -> None:
        raise RefusedError("makes an object that is no part of features")

    def _instance(self) -> None:
        module, name = self.readline()[:-1], self.readline()[:-1]
        self.find_class(module, name)
        self._refuse()

    def _reduce(self) -> None:
        arguments, made = self.stack.pop(), self.stack.pop()
        if type(arguments) is not tuple or made not in _ADMITTED.values():
            raise ValueError("a call of nothing")
        result = made(*arguments)
        if isinstance(result, bytes):
            self._bytes_left -= len(result)
            if self._bytes_left < 0:
                raise ValueError("more bytes than the file has")
        self.append(result)

    def _build(self) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        if not isinstance(made, (_Array, _DType)):
            raise ValueError("a state of nothing")
        made.build(state)

    def _bytearray(self) -> None:
        """Read bytes; the step of the class above makes room for them first."""
        size = int.from_bytes(self.read(8), "little")
        if size > self._size:
            raise ValueError("more bytes than the file has")
        self.append(bytearray(self.read(size)))

    def _set_item(self) -> None:
        _check_keys(self.stack[-2:-1])
        super().load_setitem()

    def _set_items(self) -> None:
        _check_keys(self.stack[::2])
        super().load_setitems()

    def _dict(self) -> None:
        _check_keys(self.stack[::2])
        super().load_dict()

    _REFUSED = (
        *(pickle.PERSID, pickle.BINPERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.OBJ),
        *(pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
        *(pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET),
    )
    dispatch = {  # noqa: RUF012  (as in the class above)
        **_Steps.dispatch,
        **dict.fromkeys((code[0] for code in _REFUSED), _refuse),
        pickle.INST[0]: _instance,
        pickle.REDUCE[0]: _reduce,
        pickle.BYTEARRAY8[0]: _bytearray,
        pickle.BUILD[0]: _build,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.DICT[0]: _dict,
    }


def _check_keys(keys: list[Any]) -> None:
    # Nothing else is a name; and to hash tuples of a million levels would be the end of Python.
    if not all(type(key) in (str, bytes, int) for key in keys):
        raise ValueError("a dict whose keys are no names")


def _text(text: Any) -> str:
    if isinstance(text, bytes):  # of Python 2
        return text.decode("latin1")
    if not isinstance(text, str):
        raise ValueError("a name that is no text")
    return text


_MOST_LEVELS = 4  # {path: {tensor: [row, row]}}


def _opened(value: Any, left: Iterator[int], level: int = 0) -> Any:
    """Return a value with arrays for what was to be one.

    There are no more parts than the file has bytes: a part may be named many times, and its parts
    as well, so that a few lines hold billions.
    """
    if next(left) < 0:
        raise RefusedError("holds the same parts over and over")
    if isinstance(value, _Array):
        return value.array()
    if isinstance(value, (str, bytes, int, float, bool, type(None))):
        return value
    if isinstance(value, (dict, list, tuple)):
        if level == _MOST_LEVELS:
            raise RefusedError("is nested deeper than features are")
        if isinstance(value, dict):
            return {key: _opened(one, left, level + 1) for key, one in value.items()}
        return [_opened(one, left, level + 1) for one in value]
    raise RefusedError("holds what is no part of features")


def _bytes_in(value: Any) -> int:
    """Count the bytes of arrays, each as often as it is named."""
    if isinstance(value, dict):
        return sum(map(_bytes_in, value.values()))
    if isinstance(value, list):
        return sum(map(_bytes_in, value))
    return value.nbytes if isinstance(value, np.ndarray) else 0
