"""Session bundles, and V1 checkpoints in several files: one model, however it is named."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.contents import Choices
from retrain_tools.sources.open import open_model
from tests.features import tiny
from tests.head.scripts import run_script

from .corpus import close, real, tar_of

NAMES = ("", "export.meta", "export", "export-00000-of-00001", "export-?????-of-00001")


@pytest.fixture
def half_plus_two(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(real("wild/session_bundle_half_plus_two"), folder)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_bundle_of_2015_by_every_name(half_plus_two: Path, name: str, tmp_path: Path) -> None:
    opened = open_model(half_plus_two / name)
    ends = {
        key: ({k: i.name for k, i in s.inputs.items()}, {k: i.name for k, i in s.outputs.items()})
        for key, s in opened.signatures.items()
    }
    assert ends == {
        "serving_default": ({"inputs": "tf_example:0"}, {"outputs": "Identity:0"}),
        "serving_default_from_named": ({"x": "x:0"}, {"y": "y:0"}),
    }
    assert sorted(variable.name for variable in opened.variables) == ["a", "b"]
    assert (float(opened.value("a")), float(opened.value("b"))) == (0.5, 2.0)
    done = run_script(
        "retrain_tools.freeze_graph",
        f"--graph={half_plus_two / name}",
        "--output=f.pb",
        cwd=tmp_path,
    )
    assert (done.status, done.err) == (0, "")
    assert done.out.endswith("; tf_example:0 in, y:0 out\n")
    x = np.float32([[0], [1], [-3], [10]])
    [y] = tiny.run_untouched(tmp_path / "f.pb", ["y:0"], {"x:0": x})
    assert np.array_equal(y, x / 2 + 2)
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(5)
    fed = {"tf_example:0": [example.SerializeToString()]}
    [y] = tiny.run_untouched(tmp_path / "f.pb", ["y:0"], fed)
    assert y.tolist() == [[4.5]]


def test_the_other_signature_of_the_bundle(half_plus_two: Path) -> None:
    choices = Choices(signature="serving_default_from_named")
    for name in NAMES:
        frozen = open_model(half_plus_two / name, choices=choices).freeze()
        assert (frozen.inputs, frozen.outputs) == ({"x": "x:0"}, {"y": "y:0"})
        assert [n.op for n in frozen.graph_def.node if n.name == "x"] == ["Placeholder"]
        assert "tf_example" not in {node.name for node in frozen.graph_def.node}
    with pytest.raises(InputError, match=r"^No signature 'y' in .*export.meta"):
        open_model(half_plus_two, choices=Choices(signature="y"))


def test_the_bundle_in_an_archive_and_beside_its_assets(
    half_plus_two: Path, tmp_path: Path
) -> None:
    (half_plus_two / "labels.txt").write_text("cat\n")
    assert open_model(half_plus_two).description == (
        "session bundle of TensorFlow 0.12.head, with its checkpoint"
    )
    opened = open_model(tar_of(half_plus_two, tmp_path / "b.tgz"))
    assert opened.freeze().outputs == {"outputs": "y:0"}
    state = 'model_checkpoint_path: "/tmp/gone/export-?????-of-00001"\n'
    (half_plus_two / "checkpoint").write_text(state)
    assert open_model(half_plus_two).freeze().outputs == {"outputs": "y:0"}


# --- written here ---


def varint_field(number: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def binding(tensor: str) -> bytes:
    return varint_field(1, tensor.encode())


def typed(kind: int, *tensors: str) -> bytes:
    """A RegressionSignature (1) or ClassificationSignature (2) in a Signature."""
    ends = b"".join(varint_field(n, binding(t)) for n, t in enumerate(tensors, 1) if t)
    return varint_field(kind, ends)


def generic(ends: Mapping[str, str]) -> bytes:
    entries = [
        varint_field(1, varint_field(1, k.encode()) + varint_field(2, binding(t)))
        for k, t in ends.items()
    ]
    return varint_field(3, b"".join(entries))


def named(key: str, signature: bytes) -> bytes:
    return varint_field(2, varint_field(1, key.encode()) + varint_field(2, signature))


def write_bundle(folder: Path, stated: bytes | None, shards: int = 3) -> Any:
    """A classifier as TensorFlow 0.x exported it: a sharded V1 checkpoint and its MetaGraph."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session() as session:
        v1.set_random_seed(2)
        images = v1.placeholder(tf.float32, [None, 6], name="images")
        with v1.variable_scope("net", partitioner=v1.fixed_size_partitioner(2, axis=1)):
            h = tf.matmul(images, tf.convert_to_tensor(v1.get_variable("w", [6, 4])))
        bias = v1.get_variable("b", [4], initializer=v1.random_normal_initializer())
        probs = tf.nn.softmax(h + bias, name="probs")
        tf.argmax(probs, 1, name="best")
        session.run(v1.global_variables_initializer())
        fed = np.random.default_rng(0).random((5, 6), np.float32)
        expected = session.run(probs, {images: fed})
        if stated is not None:
            from google.protobuf.any_pb2 import Any as AnyMessage

            url = "type.googleapis.com/tensorflow.serving.Signatures"
            graph.add_to_collection("serving_signatures", AnyMessage(type_url=url, value=stated))
        saver = v1.train.Saver(write_version=v1.train.SaverDef.V1, sharded=True)
        saver.save(session, str(folder / "export"), write_state=False)
        spread(session, graph, folder / "export", shards)
    return fed, expected


def spread(session: Any, graph: Any, prefix: Path, shards: int) -> None:
    """Write the variables again, in more files: a Saver makes one for each machine."""
    for file in prefix.parent.glob("export-*"):
        file.unlink()
    variables = graph.get_collection("variables")
    for number in range(shards):
        mine = variables[number::shards]
        values = session.run(mine)
        parts = [v._get_save_slice_info() for v in mine]
        names = [i.full_name if i else v.op.name for v, i in zip(mine, parts, strict=True)]
        said = [info.spec if info else "" for info in parts]
        with tf.Graph().as_default(), tf.compat.v1.Session() as other:
            path = f"{prefix}-{number:05}-of-{shards:05}"
            other.run(
                tf.raw_ops.SaveSlices(
                    filename=path, tensor_names=names, shapes_and_slices=said, data=values
                )
            )


STATED = varint_field(1, typed(2, "images:0", "best:0", "probs:0"))


@pytest.mark.parametrize("name", ["", "export.meta", "export", "export-00001-of-00003"])
def test_shards_of_a_classifier(name: str, tmp_path: Path) -> None:
    fed, expected = write_bundle(tmp_path, STATED)
    assert len(list(tmp_path.glob("export-*"))) == 3
    opened = open_model(tmp_path / name)
    found = opened.signatures["serving_default"]
    assert {key: info.name for key, info in found.outputs.items()} == {
        "classes": "best:0",
        "scores": "probs:0",
    }
    assert found.inputs["inputs"] == ("images:0", "float32", (None, 6))
    frozen = opened.freeze()
    (tmp_path / "f.pb").write_bytes(frozen.graph_def.SerializeToString())
    [mine] = tiny.run_untouched(tmp_path / "f.pb", ["probs:0"], {"images:0": fed})
    assert close(mine, expected)


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    write_bundle(tmp_path, STATED)
    (tmp_path / "export-00001-of-00003").unlink()
    for name in ("export.meta", "export-00001-of-00003", ""):
        with pytest.raises(InputError) as error:
            open_model(tmp_path / name).freeze()
        assert str(error.value) == (
            f"The checkpoint {tmp_path}/export cannot be read: export-00001-of-00003 is missing. "
            "A V1 checkpoint takes all of its files; download or copy them again."
        )


@pytest.mark.parametrize(
    ("stated", "ends"),
    [
        (named("best", typed(2, "images:0", "", "probs:0")), {"best": ("inputs", "scores")}),
        (
            named("inputs", generic({"i": "images:0"}))
            + named("outputs", generic({"p": "probs:0", "c": "best:0"})),
            {"serving_default": ("i", "c p")},
        ),
        (
            varint_field(1, generic({"a": "probs:0", "b": "images:0"})),
            {"serving_default": ("b", "a")},
        ),
        (
            varint_field(1, typed(1, "images:0", "probs:0"))
            + named("inputs", generic({"i": "images:0"}))
            + named("outputs", generic({"p": "probs:0"}))
            + named("z", typed(1, "images", "best")),
            {
                "serving_default": ("inputs", "outputs"),
                "serving_default_from_named": ("i", "p"),
                "z": ("inputs", "outputs"),
            },
        ),
        (named("inputs", generic({"i": "images:0"})), {"inputs": ("", "i")}),
        (b"", {}),
    ],
)
def test_signatures_of_every_kind(
    stated: bytes, ends: Mapping[str, tuple[str, str]], tmp_path: Path
) -> None:
    write_bundle(tmp_path, stated)
    opened = open_model(tmp_path)
    assert opened.description.startswith("session bundle")
    assert {
        name: (" ".join(s.inputs), " ".join(s.outputs)) for name, s in opened.signatures.items()
    } == ends


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        (b"\xff\xff", "export.meta is damaged: its signatures cannot be read; copy it again."),
        (
            varint_field(1, typed(1, "images:0", "gone:0")),
            "export.meta is damaged: its signature names 'gone:0', which is not there.",
        ),
    ],
)
def test_damaged_signatures(stated: bytes, words: str, tmp_path: Path) -> None:
    write_bundle(tmp_path, stated)
    with pytest.raises(InputError) as error:
        open_model(tmp_path)
    assert str(error.value) == f"{tmp_path}/{words}"


def test_a_meta_graph_without_signatures_is_no_bundle(tmp_path: Path) -> None:
    write_bundle(tmp_path, None)
    opened = open_model(tmp_path)
    assert opened.description.startswith("MetaGraph of TensorFlow")
    meta = schema.MetaGraphDef.FromString((tmp_path / "export.meta").read_bytes())
    assert meta.saver_def.version == meta.saver_def.V1
    assert opened.signatures == {}
