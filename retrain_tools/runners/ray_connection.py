"""Being connected to Ray: to a cluster, which gets this package's code, or to one's own."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import retrain_tools
from retrain_tools.errors import InputError, argument
from retrain_tools.leftovers import OwnedFolder, scratch_folder

log = logging.getLogger(__name__)

_SECONDS_TO_CONNECT = 10.0
# Ray makes sockets below its folder, whose names the system allows 107 bytes: 64 are Ray's own.
_FOLDER = "retrain_ray-"
_LONGEST_FOLDER = 107 - 64


@contextlib.contextmanager
def connected(ray: Any, address: str | None, workers: int | None) -> Iterator[bool]:
    """Be connected to Ray inside the block, and yield whether it is one's own, made for it.

    Args:
        ray: the package.
        address: of a cluster; None for a new one on this machine.
        workers: how many CPUs that has; None for as many as there are.

    Raises:
        InputError: there is no such cluster, or it has another version of Ray or Python.
    """
    if ray.is_initialized():
        yield False
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    with contextlib.ExitStack() as stack:
        if address is None:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a job tells nobody of itself
            folder = stack.enter_context(_short_folder())
            own: dict[str, Any] = {
                "num_cpus": workers,
                "include_dashboard": False,
                "_temp_dir": folder,
            }
            arguments: dict[str, Any] = {"address": "local", **own, **quiet}
        else:
            _check_reachable(address)
            code = stack.enter_context(_code())
            arguments = {"address": address, "runtime_env": {"py_modules": [code]}, **quiet}
        stack.callback(ray.shutdown)
        try:
            with _own_handler():
                ray.init(**arguments)
        except (OSError, RuntimeError, ValueError) as error:
            if address is None:
                raise InputError(f"Ray does not start here: {_in_one_line(error)}") from error
            raise _no_cluster(address, _in_one_line(error)) from error
        # Ray prints on stdout what happens to its machines; what matters of it is logged here.
        ray._private.worker._worker_logs_enabled = False
        yield address is None


@contextlib.contextmanager
def _own_handler() -> Iterator[None]:
    """Keep the handler of SIGTERM that there is: `ray.init` has one of its own."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _check_reachable(address: str) -> None:
    """Raise InputError if nobody listens at an address: Ray would try for minutes, and exit."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal() and "/" not in host):
        return  # `auto`, or Ray knows
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_CONNECT).close()
    except OSError as error:
        raise _no_cluster(address, _in_one_line(error)) from error


def _no_cluster(address: str, why: str) -> InputError:
    return InputError(
        f"No Ray cluster can be used at {argument('address')}={address}: {why.rstrip('.')}. It is "
        "auto on a machine of the cluster, HOST:6379 of its head, or ray://HOST:10001; where the "
        "cluster has a token, RAY_AUTH_MODE=token and RAY_AUTH_TOKEN are set here, too. Without an "
        "address Ray is started on this machine."
    )


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


@contextlib.contextmanager
def _short_folder() -> Iterator[str]:
    """Make a temporary folder for Ray, and remove it, and those that killed drivers left."""
    usual, name = tempfile.gettempdir(), f"{_FOLDER}12345678"
    within = usual if len(os.fsencode(f"{usual}/{name}")) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108
    for left in Path(within).glob(f"{_FOLDER}*"):
        with contextlib.suppress(OSError), _locked(left):  # whose driver lives, cannot be locked
            shutil.rmtree(left)
    # A name of `leftovers` would be too long, so a lock tells whether the owner lives.
    with OwnedFolder(tempfile.mkdtemp(prefix=_FOLDER, dir=within)) as made, _locked(made):
        yield made


@contextlib.contextmanager
def _locked(folder: str | Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _code() -> Iterator[str]:
    """Put this package together in a folder; in a checkout the catalogue lies beside it."""
    package = Path(retrain_tools.__file__).parent
    leave_out = shutil.ignore_patterns("__pycache__")
    with scratch_folder() as folder:
        whole = folder / package.name
        shutil.copytree(package, whole, ignore=leave_out)
        if (checkout := package.parent / "graphs").is_dir() and not (whole / "graphs").exists():
            shutil.copytree(checkout, whole / "graphs", ignore=leave_out)
        yield str(whole)
