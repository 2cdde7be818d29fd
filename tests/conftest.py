"""The corpus as session fixtures: each file is written once, when a test first asks for it.

Keras is imported then, too: most tests need none of it. Scripts run in processes that are kept.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.head.scripts import Finished
from tests.listing_script import Runner
from tests.object_store import new_bucket, s3_server
from tests.ray_cluster import RayCluster
from tests.script_process import RunScript, ScriptProcess

if TYPE_CHECKING:
    from tests.sources import corpus


@pytest.fixture(scope="session", autouse=True)
def _model_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is kept for the next time, plans of graphs above all, in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRAIN_TOOLS_HOME", str(tmp_path_factory.mktemp("models")))
        yield


@pytest.fixture(scope="module")
def run_script() -> Iterator[RunScript]:
    """Runs scripts as `head.scripts.run_script` does, each script in one process for a test file.

    The exit status, the output and the files are those of a fresh process; what is imported stays.
    """
    with contextlib.ExitStack() as stack:
        processes: dict[str, ScriptProcess] = {}

        def run(module: str, *arguments: object, cwd: Path) -> Finished:
            if module not in processes:
                processes[module] = stack.enter_context(ScriptProcess(module))
            return processes[module].run(arguments, cwd)

        yield run


@pytest.fixture(scope="module")
def run_commands(run_script: RunScript) -> Callable[..., list[Finished]]:
    """`run_commands(module, commands, cwd=)`: the script once per list of arguments."""

    def run(module: str, commands: list[list[object]], cwd: Path) -> list[Finished]:
        return [run_script(module, *command, cwd=cwd) for command in commands]

    return run


@pytest.fixture(scope="module")
def script(run_script: RunScript) -> Runner:
    """`list_tensors`, in one process for a test file."""
    return Runner(run_script)


@pytest.fixture(scope="session")
def _s3_server() -> Iterator[None]:
    with s3_server():
        yield


@pytest.fixture
def bucket(_s3_server: None) -> str:
    """The URI of an empty bucket of a real object store."""
    return new_bucket()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """`small_disk(kB)` is a file system of that size, `tmp_path/small`; once more resizes it."""
    folder = tmp_path / "small"
    folder.mkdir()

    def mount(kilobytes: int) -> Path:
        size = f"{'remount,' if folder.is_mount() else ''}size={kilobytes}k"
        command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            pytest.skip(f"no file system can be mounted here: {error}")
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        return folder

    yield mount
    if folder.is_mount():
        # Lazily: a process of scripts that is kept may still have a file open there.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Let what a test printed go from one process to another: names of files may be no text."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="module")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """Machines of one CPU each, as Ray pretends to have them on this one.

    One cluster is not for all tests: a driver may take a machine that is gone for its own.
    """
    with RayCluster(tmp_path_factory.mktemp("ray")) as cluster:
        yield cluster


def _folder(factory: pytest.TempPathFactory, name: str) -> Path:
    return factory.mktemp(name, numbered=False)


@pytest.fixture(scope="session")
def mean_colour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph that takes pixels, [N, 8, 8, 3], and gives their mean: mean_colour:0, [N, 3]."""
    from retrain_tools.quiet_tensorflow import tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "input")
        tf.reduce_mean(pixels, [1, 2], name="mean_colour")
    path = _folder(tmp_path_factory, "mean_colour") / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


@pytest.fixture(scope="session")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.sources import corpus

    return corpus.write_frozen(_folder(tmp_path_factory, "frozen"))


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    from tests.sources import corpus

    return corpus.write_training(_folder(tmp_path_factory, "training"), resource=False)


@pytest.fixture(scope="session")
def training_resource(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    from tests.sources import corpus

    return corpus.write_training(_folder(tmp_path_factory, "training_resource"), resource=True)


@pytest.fixture(scope="session")
def training_v1(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    from tests.sources import corpus

    folder = _folder(tmp_path_factory, "training_v1")
    return corpus.write_training(folder, resource=False, v1_format=True)


@pytest.fixture(scope="session")
def saved_model_1(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    from tests.sources import corpus

    return corpus.write_saved_model_1(_folder(tmp_path_factory, "sm1") / "model")


@pytest.fixture(scope="session")
def saved_model_1_resource(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    from tests.sources import corpus

    return corpus.write_saved_model_1(_folder(tmp_path_factory, "sm1r") / "model", resource=True)


@pytest.fixture(scope="session")
def hub_module(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    from tests.sources import corpus

    return corpus.write_saved_model_1(_folder(tmp_path_factory, "hub") / "module", hub=True)


@pytest.fixture(scope="session")
def saved_model_2(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    from tests.sources import corpus

    return corpus.write_saved_model_2(_folder(tmp_path_factory, "sm2") / "model", signatures=True)


@pytest.fixture(scope="session")
def hub_2(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    from tests.sources import corpus

    return corpus.write_saved_model_2(_folder(tmp_path_factory, "hub2") / "model", signatures=False)


@pytest.fixture(scope="session")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    from tests.sources import corpus

    return corpus.write_keras(_folder(tmp_path_factory, "keras"))


@pytest.fixture(scope="session")
def slim_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A quarter of MobileNet v1 with five classes, in every form of a checkpoint."""
    from tests.sources.checkpoints import write_forms

    return write_forms(_folder(tmp_path_factory, "slim_checkpoints"))


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where checkpoints are frozen, once."""
    return _folder(tmp_path_factory, "model_dir")


@pytest.fixture(scope="session")
def kinds(
    frozen: Path,
    training: corpus.Written,
    training_v1: corpus.Written,
    saved_model_1: corpus.Written,
    saved_model_2: corpus.Written,
    hub_module: corpus.Written,
    hub_2: corpus.Written,
    keras_files: Mapping[str, Path],
    slim_checkpoints: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Mapping[str, Path]:
    """One real small file of each kind; `alone` means without what it needs to be frozen."""
    from tests.sources import corpus

    folder = _folder(tmp_path_factory, "kinds")
    archives = [folder / name for name in ("a.tgz", "a.zip", "frozen.pb.gz")]
    for pack, archive in zip((corpus.tar_of, corpus.zip_of, corpus.gzip_of), archives, strict=True):
        pack(frozen, archive)
    for file in training.path.parent.glob("model.ckpt*"):
        place = folder / ("meta" if file.suffix == ".meta" else "checkpoint")
        place.mkdir(exist_ok=True)
        shutil.copy(file, place)
    return {
        "graph": frozen,
        "text graph": frozen.with_suffix(".pbtxt"),
        "graph with variables": training.path.with_name("unfrozen.pb"),
        "meta": training.path,
        "meta alone": folder / "meta" / training.path.name,
        "checkpoint": training.path.with_suffix(""),
        "checkpoint v1": training_v1.path.with_suffix(""),
        "checkpoint alone": folder / "checkpoint" / training.path.with_suffix("").name,
        "slim v2": Path(slim_checkpoints["V2 prefix"]),
        "slim v1": Path(slim_checkpoints["V1 file"]),
        "slim tgz": Path(slim_checkpoints["V1 in a tar.gz"]),
        "saved model 1": saved_model_1.path,
        "hub 1": hub_module.path,
        "saved model 2": saved_model_2.path,
        "hub 2": hub_2.path,
        "keras": keras_files["keras"],
        "keras h5": keras_files["h5"],
        "keras weights": keras_files["weights"],
        "keras export": keras_files["export"],
        "tflite": keras_files["tflite"],
        "tgz": archives[0],
        "zip": archives[1],
        "gz": archives[2],
        "inside": archives[0] / "inside/frozen.pb",
    }
