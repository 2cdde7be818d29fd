"""The shortest decimals that read back to the same float32 values, for many at once.

What is written is what `str` of each NumPy float32 gives, in half of the time or less.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Between these a value times the power of ten that makes an integer of 9 digits of it is exact in
# float64 (24 bits times 5 ** 12), and no number of 9 digits is halfway between two float32 values.
_SMALLEST, _LARGEST = 1e-4, 8192.0
_MOST, _FEWEST = 9, 6  # digits: 9 always suffice; with fewer than 6 they end in zeros
_POWERS = 10.0 ** np.arange(13)
_INTEGER_POWERS = 10 ** np.arange(13)
_DIGITS = np.arange(10000)[:, np.newaxis] // (1000, 100, 10, 1) % 10 + ord("0")
_OF_FOUR = _DIGITS.astype(np.uint8).view(np.uint32)[:, 0].copy()
_SIGN, _POINT, _COMMA = np.frombuffer(b"-   .   ,   ", np.uint32)
_MANTISSA = (1 << 23) - 1
_WORD = 4  # characters
_OTHERS = 20  # of so many values one may be no plain one; where more are, `str` is as fast


def shortest_decimals(values: npt.NDArray[np.float32]) -> str:
    """Return the decimals of float32 [N] with commas between."""
    sizes = np.abs(values.astype(np.float64))
    is_power_of_2 = (values.view(np.uint32) & _MANTISSA) == 0  # their neighbours are not as near
    is_plain = (sizes >= _SMALLEST) & (sizes < _LARGEST) & ~is_power_of_2
    is_plain |= sizes == 0
    others = np.flatnonzero(~is_plain)
    if len(others) > len(values) // _OTHERS:
        return ",".join(map(str, values))
    sizes[others] = 0
    characters, keep = _written(np.signbit(values), *_parts(np.abs(values), sizes))
    for row in others.tolist():
        text = str(values[row]).encode()
        characters[row, : len(text)] = np.frombuffer(text, np.uint8)
        keep[row, :-_WORD] = np.arange(keep.shape[1] - _WORD) < len(text)
    return characters.ravel()[np.flatnonzero(keep)].tobytes()[:-1].decode()


def _parts(
    wanted: npt.NDArray[np.float32], sizes: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return of the shortest decimals what is before the point, and 12 digits from behind it.

    The `sizes` are the values `wanted`, which are between the bounds, or 0.
    """
    places = np.full(len(sizes), _MOST - 1 + 4)  # behind the point, for 9 digits
    for bound in (1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3):
        places -= sizes >= bound
    digits = np.rint(sizes * _POWERS[places])
    behind = places
    for _ in range(_MOST - _FEWEST):
        places = places - 1
        power = _POWERS[places]
        fewer = np.rint(sizes * power)
        suffices = (fewer / power).astype(np.float32) == wanted
        digits = np.where(suffices, fewer, digits)
        behind = np.where(suffices, places, behind)
    whole, rest = np.divmod(digits.astype(np.int64), _INTEGER_POWERS[behind])
    return whole, rest * _INTEGER_POWERS[12 - behind]


def _written(
    is_negative: npt.NDArray[np.bool_], whole: npt.NDArray[Any], rest: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Return a row of characters for each number, a comma behind, and which of them to keep."""
    table = np.empty((len(whole), 7), np.uint32)  # of 4 characters each
    table[:, 0], table[:, 2], table[:, 6] = _SIGN, _POINT, _COMMA
    high, low = np.divmod(rest, 10**8)
    middle, low = np.divmod(low, 10**4)
    for column, number in ((1, whole), (3, high), (4, middle), (5, low)):
        table[:, column] = _OF_FOUR[number]
    keep = np.zeros((len(whole), 7 * _WORD), bool)
    keep[:, 0] = is_negative
    keep[:, (7, 8, 24)] = True  # the last digit before the point, the point, the comma
    for column in (4, 5, 6):
        keep[:, column] = whole >= 10 ** (7 - column)
    characters = table.view(np.uint8).reshape(keep.shape)
    is_needed = characters[:, 23:11:-1] != ord("0")
    is_needed[:, -1] = True  # one digit is always there
    count = 12 - is_needed.argmax(axis=1)
    keep[:, 12:24] = np.arange(12) < count[:, np.newaxis]
    return characters, keep
