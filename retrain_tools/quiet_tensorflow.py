"""TensorFlow on first use, no more of it than is used, and quietly: `from … import tf`.

Importing TensorFlow takes seconds and writes to file descriptor 2 before any log level applies, so
`--help` and plain mistakes should not pay for it and nobody should read about missing CUDA drivers.
Most of that time, and a third of the memory, is what running a graph does not need: Keras,
datasets, distribution, lite. So what graphs need is imported from the modules inside the package,
without running the package itself; anything else that is asked of `tf` imports the package as
usual. Both can be used in one process, in either order: their classes are the same objects.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import importlib.util
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

# Where the names lie that running graphs takes, as `tensorflow/_api` has it.
_PARTS = {
    "python.client.session": ["compat.v1.Session"],
    "python.framework.constant_op": ["constant"],
    "python.framework.dtypes": ["float32", "int32", "string", "uint8"],
    "python.framework.errors_impl": ["errors.OpError"],
    "python.framework.importer": ["compat.v1.import_graph_def"],
    "python.framework.ops": ["Graph"],
    "python.framework.versions": ["version.GRAPH_DEF_VERSION", "version.VERSION"],
    "python.ops.array_ops": ["compat.v1.placeholder"],
    "python.lib.io.tf_record": ["io.TFRecordWriter"],
    "python.ops.gen_control_flow_ops": ["no_op"],
    "python.ops.gen_image_ops": [
        "raw_ops.DecodeImage",
        "raw_ops.DecodeJpeg",
        "raw_ops.ResizeArea",
        "raw_ops.ResizeBicubic",
        "raw_ops.ResizeBilinear",
        "raw_ops.ResizeNearestNeighbor",
    ],
    "python.ops.gen_io_ops": ["raw_ops.SaveV2"],
    "python.ops.gen_nn_ops": [
        "raw_ops.AvgPool",
        "raw_ops.Conv2D",
        "raw_ops.MaxPool",
    ],
    "python.ops.gen_resource_variable_ops": [
        "raw_ops.AssignVariableOp",
        "raw_ops.ReadVariableOp",
        "raw_ops.VarHandleOp",
    ],
    "core.framework.graph_pb2": ["compat.v1.GraphDef"],
    "core.protobuf.config_pb2": ["compat.v1.ConfigProto"],
}
_MODULES = {name: f"tensorflow.{part}" for part, names in _PARTS.items() for name in names}
# What makes the package load more than its own: see the end of its __init__.py.
_ENVIRONMENT_OF_PLUGINS = ("TF_PLUGGABLE_DEVICE_LIBRARY_PATH", "TF_USE_MODULAR_FILESYSTEM")
_holding_back = threading.RLock()


@contextlib.contextmanager
def stderr_held_back() -> Iterator[None]:
    """Hold back what C++ code writes to descriptor 2; replay it if the block fails."""
    with _holding_back, tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        saved = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM come when the block is done.

    What their handlers raise in the middle of an import may pass through C++ code, which aborts the
    process without a word.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled in the other
        return
    came: list[int] = []
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not None]
    before = {n: signal.signal(n, lambda number, _: came.append(number)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for first in came[:1]:
            signal.raise_signal(first)


@contextlib.contextmanager
def system_errors(path: str | Path) -> Iterator[None]:
    """Let what the system refuses TensorFlow's C++ code be an OSError about `path`.

    Raises:
        OSError: the error of TensorFlow's names one of the system's, as a full disk.
    """
    try:
        yield
    except tf.errors.OpError as error:
        for number in errno.errorcode:
            if f"; {os.strerror(number)}" in str(error):  # behind the name of the file
                raise OSError(number, os.strerror(number), str(path)) from error
        raise


class _Names:
    """Stands for the `tensorflow` module, or one inside it, and imports what is asked of it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> Any:
        path = f"{self._path}{name}"
        if any(known.startswith(f"{path}.") for known in _MODULES):
            value: Any = _Names(f"{path}.")
        else:
            with _signals_held_back(), stderr_held_back():
                value = _find(path)
        setattr(self, name, value)
        return value


def import_tensorflow() -> Any:
    """Import and return the package itself, quietly, for what imports it in turn."""
    with _signals_held_back(), stderr_held_back():
        return _whole()


def _find(path: str) -> Any:
    """Return what `tensorflow.PATH` is; the package itself is only imported where it has to be."""
    if path in _MODULES:
        try:
            return getattr(_part(_MODULES[path]), path.rpartition(".")[2])
        except (ImportError, AttributeError):  # a TensorFlow that is laid out in another way
            pass
    value = _whole()
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _whole() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    package = importlib.import_module("tensorflow")
    package.config.list_physical_devices()  # looks for CUDA, and complains, only once
    return package


def _part(name: str) -> ModuleType:
    """Return a module inside TensorFlow, and import the package only where that has to be."""
    if name in sys.modules:
        return sys.modules[name]
    package = None if "tensorflow" in sys.modules else importlib.util.find_spec("tensorflow")
    if package is None or not _can_be_left_out(package):
        _whole()
        return importlib.import_module(name)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.meta_path.insert(0, stand_in := _StandIn(package, name))
    try:
        importlib.import_module("tensorflow")
    except _PartIsImportedError:
        pass
    finally:
        sys.meta_path.remove(stand_in)
    return importlib.import_module(name)


def _can_be_left_out(package: ModuleSpec) -> bool:
    """Tell whether importing TensorFlow loads no devices that are installed apart."""
    if any(os.environ.get(name) for name in _ENVIRONMENT_OF_PLUGINS):
        return False
    places = [*sys.path, str(Path(str(package.origin)).parents[1])]
    return not any(Path(place, "tensorflow-plugins").exists() for place in places)


class _PartIsImportedError(Exception):
    """Ends the import of a stand-in: Python then forgets it, and can import the package later."""


class _StandIn:
    """Finds and loads a module `tensorflow` that has the package's place and nothing else.

    A module inside the package can be imported as long as there is one. Another thread that
    imports TensorFlow meanwhile gets it too; what that asks of it, it asks of the package.
    """

    def __init__(self, package: ModuleSpec, part: str) -> None:
        self._package, self._part, self._thread = package, part, threading.get_ident()

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Return the stand-in's spec."""
        if name != "tensorflow" or threading.get_ident() != self._thread:
            return None
        loader: Any = self
        spec = ModuleSpec(name, loader, origin=self._package.origin, is_package=True)
        spec.submodule_search_locations = self._package.submodule_search_locations
        return spec

    def create_module(self, _: ModuleSpec) -> None:
        """Let Python make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Import the part, after what the package does before and after all imports."""
        module.__dict__["__getattr__"] = functools.partial(_of_the_package, module)
        try:
            importlib.import_module("tensorflow.python.tf2").enable()
            importlib.import_module("tensorflow.python.compat.v2_compat").enable_v2_behavior()
            context = importlib.import_module("tensorflow.python.eager.context").context()
            context.list_physical_devices()  # looks for CUDA, and complains, only once
            kernels = Path(str(self._package.origin)).with_name("core") / "kernels"
            if kernels.exists():  # until TensorFlow 2.18
                library = importlib.import_module("tensorflow.python.framework.load_library")
                library.load_library(str(kernels))
            importlib.import_module(
                "tensorflow.python.ops.math_ops"
            )  # registers tensors' operators
            importlib.import_module(self._part)
        finally:
            _folders.hide()
        raise _PartIsImportedError


def _of_the_package(stand_in: ModuleType, name: str) -> Any:
    """Return what is asked of a stand-in later on, by one who imported it while it was there."""
    package = importlib.import_module("tensorflow")
    if package is stand_in:
        raise AttributeError(name)
    return getattr(package, name)


class _Folders:
    """Keeps the packages inside TensorFlow out of Python's sight, and gives them back.

    Without them, an import of any other module inside TensorFlow begins with TensorFlow's own
    `__init__`, as that of the first always does. Begun in the middle, it fails: modules inside
    would be half imported.
    """

    def __init__(self) -> None:
        self._hidden: dict[str, tuple[ModuleType, ModuleSpec | None]] = {}

    def hide(self) -> None:
        """Take all of them out of Python's table of modules."""
        for name, module in list(sys.modules.items()):
            if name.startswith("tensorflow.") and hasattr(module, "__path__"):
                self._hidden[name] = module, module.__spec__
                del sys.modules[name]
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Return a spec by which Python gets a package back."""
        loader: Any = self
        return ModuleSpec(name, loader, is_package=True) if name in self._hidden else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the package itself."""
        return self._hidden[spec.name][0]

    def exec_module(self, module: ModuleType) -> None:
        """Give the package its own spec back; it has been run."""
        _, module.__spec__ = self._hidden.pop(module.__name__)


_folders = _Folders()
tf: Any = _Names("")
