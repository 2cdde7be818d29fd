"""What a pickle would call, told from its instructions; none of them is carried out.

A pickle is a program for a small machine that looks up what it names and calls it. Python's own
disassembler, which runs nothing, gives its instructions.
"""

from __future__ import annotations

import io
import pickletools
import re
from collections.abc import Iterator
from typing import Any

from retrain_tools.safety.findings import Finding, Severity

# What arrays, tensors, dates and containers are made with; none of them does more than hold values.
_HARMLESS = {
    "builtins": "bytearray bytes complex dict frozenset int list object range set slice str tuple",
    "collections": "Counter OrderedDict defaultdict deque",
    "_codecs": "encode",
    "copyreg": "_reconstructor",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "numpy": "dtype ndarray",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
    "torch": "BFloat16Storage BoolStorage ByteStorage DoubleStorage FloatStorage HalfStorage "
    "IntStorage LongStorage ShortStorage Size",
    "torch._utils": "_rebuild_tensor_v2 _rebuild_parameter",
}
_SAFE = {f"{module}.{name}" for module, names in _HARMLESS.items() for name in names.split()}
_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_STRINGS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING"}
_STRINGS |= {"SHORT_BINSTRING"}
_PUT, _GET = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
_EXTENSIONS = {"EXT1", "EXT2", "EXT4"}
_START = re.compile(rb"\x80[\x01-\x05]")
# In bytes that are no instructions: what a pickle behind them would name.
_NAMED = re.compile(
    rb"(?:c|\x8c.|\x93|i)(os|nt|posix|subprocess|builtins|__builtin__|sys|runpy|importlib|socket|"
    rb"shutil|pty|commands|webbrowser|ctypes|marshal|types)(?:\n|\x94|\x8c)([\x20-\x7e]?)(\w+)"
)
_DAMAGE = (ValueError, IndexError, KeyError, EOFError, OverflowError, MemoryError, RecursionError)

CALLS = "names something that loading would call, which could do anything on this computer"
_HOLDS = "is a pickle, a program that Python runs to load it; it names nothing but containers"
_BROKEN = "is a pickle whose instructions are damaged; what comes first runs all the same"
_EXTENSION = "takes what it calls from a registry of the process that loads it"
_MADE = "calls something whose name it makes while it is loaded"


def starts_as_pickle(start: bytes) -> bool:
    """Tell from its first bytes whether a file is a pickle of protocol 1 to 5."""
    return _START.match(start) is not None


def is_text_pickle(data: bytes) -> bool:
    """Tell whether bytes are a whole pickle of protocol 0, which has no beginning of its own."""
    if b"." not in data or data[:1] not in b"(cIVSNFLl]}dt":
        return False
    try:
        names = [opcode.name for opcode, _, _ in pickletools.genops(data)]
    except _DAMAGE:
        return re.match(rb"c[\w.]+\n\w+\n", data) is not None
    return len(names) > 1


def pickle_findings(data: bytes, path: str, within: str = "") -> list[Finding]:
    """Return what a pickle, or several one after the other, would call when it is loaded.

    Args:
        data: the bytes, which are not loaded.
        path: the file.
        within: where in the file, as `Finding.within`.
    """
    found: list[Finding] = []

    def add(severity: Severity, name: str, why: str) -> None:
        found.append(Finding(severity, "pickle", name, why, path, within=within))

    stream = io.BytesIO(data)
    while stream.tell() < len(data):
        begun = stream.tell()
        try:
            for name, why in _calls(stream):
                if name not in _SAFE:
                    add(Severity.HIGH, name, why)
        except _DAMAGE:
            rest = data[begun:]
            for match in _NAMED.finditer(rest):
                add(Severity.HIGH, b".".join((match[1], match[3])).decode("latin-1"), CALLS)
            if begun == 0:
                add(Severity.MEDIUM, "pickle", _BROKEN)
            break
        if begun and stream.tell() - begun < 2:
            break
    if not found:
        add(Severity.LOW, "pickle", _HOLDS)
    return found


def _calls(stream: io.BytesIO) -> Iterator[tuple[str, str]]:
    """Yield the name of everything that one pickle looks up, and why that matters."""
    texts: list[Any] = []  # what was pushed last: strings as they are, all else as None
    memo: dict[int, Any] = {}
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in ("GLOBAL", "INST"):
            module, _, member = str(argument).partition(" ")
            yield _full(module, member), CALLS
        elif name == "STACK_GLOBAL":
            pair = texts[-2:]
            if len(pair) == 2 and all(isinstance(text, str) for text in pair):
                yield _full(*pair), CALLS
            else:
                yield "(unknown)", _MADE
        elif name in _EXTENSIONS:
            yield f"extension {argument}", _EXTENSION
        if name == "MEMOIZE":
            memo[len(memo)] = texts[-1] if texts else None
        elif name in _PUT:
            memo[int(argument or 0)] = texts[-1] if texts else None
        elif name in _GET:
            texts.append(memo.get(int(argument or 0)))
        elif name in _STRINGS:
            texts.append(argument)
        elif opcode.stack_after and name not in ("MARK", "PROTO", "FRAME"):
            texts.append(None)
        del texts[:-8]


def _full(module: str, member: str) -> str:
    return f"{_PYTHON_2.get(module, module)}.{member}"
