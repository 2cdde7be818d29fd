"""Files that are no network, or a damaged one: one clear line on stderr, and exit status 2."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import retrain_tools
from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from tests.listing_script import ROOT, Runner

LOOKS = ([], ["--summary"], ["--variables"], ["--signatures"], ["--html=never.html"])


def refusal(script: Runner, path: object) -> str:
    """What every way of looking at the file says alike, the library included."""
    said = {script.error_of("--graph", path, *flags) for flags in LOOKS}
    assert len(said) == 1
    [message] = said
    assert str(path) in message
    for look in (lambda n: n, lambda n: n.summary(), lambda n: n.frozen()):
        with pytest.raises(InputError) as error:
            look(retrain_tools.load(str(path)))
    assert "\n" not in str(error.value)
    assert not (ROOT / "never.html").exists()
    return message


def graph(change: Callable[[schema.GraphDef], object]) -> bytes:  # type: ignore[valid-type]
    graph_def = schema.GraphDef()
    graph_def.node.add(name="a", op="Placeholder").attr["dtype"].type = 1
    graph_def.node.add(name="b", op="Neg", input=["a"]).attr["T"].type = 1
    constant = graph_def.node.add(name="c", op="Const")
    constant.attr["dtype"].type = constant.attr["value"].tensor.dtype = 1
    constant.attr["value"].tensor.tensor_shape.dim.add(size=2)
    constant.attr["value"].tensor.tensor_content = bytes(8)
    change(graph_def)
    return bytes(graph_def.SerializeToString())


def short(graph_def: schema.GraphDef) -> None:  # type: ignore[valid-type]
    graph_def.node[2].attr["value"].tensor.tensor_content = bytes(7)


NO_KIND = (
    "{path} is none of the kinds of file that can be opened: GraphDef, MetaGraph, checkpoint, "
    "SavedModel, Keras, TensorFlow Lite, or an archive of one."
)
WRONG = {
    "web page": (
        b"<!DOCTYPE html>\n<html><body>404</body></html>",
        "{path} is a web page saved by mistake; download the file itself.",
    ),
    "git-lfs pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 95673916\n",
        "{path} is a git-lfs pointer, not the file itself; run `git lfs pull` where it came from.",
    ),
    "empty": (b"", "{path} is empty; download or copy it again."),
    "pickle": (
        pickle.dumps({"weights": [1.0]}),
        "{path} is a Python pickle, which may run any program when read; it is never opened here.",
    ),
    "text": (b"daisy\ndandelion\n", NO_KIND),
    "zeros": (bytes(5000), NO_KIND),
    "image": (
        b"\xff\xd8\xff\xe0" + bytes(60),
        "{path} is an image; pass it as an image and a .pb file as the graph.",
    ),
    "two nodes of a name": (
        graph(lambda g: g.node.add(name="a", op="NoOp")),
        "{path} is damaged: two nodes are called 'a'.",
    ),
    "dangling input": (
        graph(lambda g: g.node.add(name="d", op="Neg", input=["gone:1"])),
        "{path} is damaged: node 'd' takes 'gone:1', which no node makes.",
    ),
    "cycle": (
        graph(lambda g: g.node[1].input.__setitem__(0, "b")),
        "{path} is damaged: its nodes form a cycle: b → b.",
    ),
    "short constant": (
        graph(short),
        "{path} is damaged: the constant 'c' does not hold what its type and shape say.",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files(script: Runner, tmp_path: Path, name: str) -> None:
    data, message = WRONG[name]
    path = tmp_path / "graph.pb"
    path.write_bytes(data)
    assert refusal(script, path) == message.format(path=path)


def test_a_graph_cut_off(script: Runner, kinds: Mapping[str, Path], tmp_path: Path) -> None:
    data = kinds["graph"].read_bytes()
    path = tmp_path / "graph.pb"
    path.write_bytes(data[: len(data) // 2])
    message = refusal(script, path)
    assert message.startswith(f"{path} is cut off: it ends after 1 complete nodes (836 bytes of ")
    assert message.endswith("; download or copy it again.")


def test_more_than_a_message_can_have(
    script: Runner, kinds: Mapping[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "graph.pb"
    with path.open("wb") as file:  # a hole: it takes no room on the disk
        file.write(kinds["graph"].read_bytes())
        file.truncate(2**31 + 10)
    assert refusal(script, path) == (
        f"{path} has 2,147,483,658 bytes; a GraphDef cannot have more than 2,147,483,647."
    )


def test_folders(script: Runner, tmp_path: Path) -> None:
    assert refusal(script, tmp_path).startswith(f"{tmp_path} holds no model (it is empty): no ")
    (tmp_path / "labels.txt").write_text("daisy\n")
    assert refusal(script, tmp_path) == (
        f"{tmp_path} holds no model (there is labels.txt): no saved_model.pb, and no GraphDef, "
        "checkpoint, Keras or TensorFlow Lite file; name the file itself."
    )


def test_missing(script: Runner, tmp_path: Path) -> None:
    path = tmp_path / "gone.pb"
    assert refusal(script, path) == f"No such file: {path}"


def test_a_constant_that_claims_any_size(script: Runner, tmp_path: Path) -> None:
    """One value stands for all: the file is small, and nothing as large as it claims is made."""

    def claim(graph_def: schema.GraphDef) -> None:  # type: ignore[valid-type]
        tensor = graph_def.node[2].attr["value"].tensor
        tensor.ClearField("tensor_content")
        tensor.tensor_shape.dim[0].size = 10**7
        tensor.tensor_shape.dim.add(size=10**7)
        tensor.float_val.append(2.5)

    path = tmp_path / "graph.pb"
    path.write_bytes(graph(claim))
    table, _ = script.listed("--graph", path, "--stats", "--pattern=^c")
    assert table.splitlines()[1].split() == [
        *("c:0", "float32", "[10000000,", "10000000]", "Const"),
        *("2.5", "2.5", "2.5", "0", "0"),
    ]
    script.listed("--graph", path, "--summary")
    script.listed("--graph", path, f"--html={tmp_path / 'page.html'}")
