"""Makes the seeds with TensorFlow and Keras, in a process of its own."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

from fuzzing.seeds import write_seeds

_ROOT = Path(__file__).resolve().parents[2]


def main(folder: Path) -> None:
    """Write the seeds into a folder, which is there when all of them are."""
    from tests.sources import corpus

    made = folder.with_name(f"{folder.name}.part")
    files = made / "files"
    training = corpus.write_training(files / "training", resource=False)
    frozen = corpus.write_frozen(files / "frozen")
    keras = corpus.write_keras(files)
    kinds = {
        "graph": frozen,
        "text graph": frozen.with_suffix(".pbtxt"),
        "graph with variables": training.path.with_name("unfrozen.pb"),
        "meta": training.path,
        "checkpoint alone": training.path.with_suffix(""),
        "checkpoint v1": corpus.write_training(files / "v1", False, True).path.with_suffix(""),
        "saved model 1": corpus.write_saved_model_1(files / "saved_1").path,
        "hub 1": corpus.write_saved_model_1(files / "hub_1", hub=True).path,
        "saved model 2": corpus.write_saved_model_2(files / "saved_2", signatures=True).path,
        "hub 2": corpus.write_saved_model_2(files / "hub_2", signatures=False).path,
        **{name.replace("h5", "keras h5"): path for name, path in keras.items()},
        "keras weights": keras["weights"],
        "keras export": keras["export"],
        "tgz": corpus.tar_of(frozen, files / "a.tgz"),
        "zip": corpus.zip_of(frozen, files / "a.zip"),
        "gz": corpus.gzip_of(frozen, files / "frozen.pb.gz"),
    }
    strangers = []
    for archive in sorted((_ROOT / "tests/sources/keras_files").glob("*.zip")):
        with zipfile.ZipFile(archive) as packed:
            strangers.append(files / "strangers" / archive.stem)
            packed.extractall(strangers[-1])
    write_seeds(made, kinds, [*strangers, _ROOT.parent / "shared/data/wild"])
    made.rename(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
