from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef import save, schema
from retrain_tools.graphdef.save import write_graph

from .tiny_graphs import add_constant, inception_like


def graph_with_everything() -> Any:
    graph_def = inception_like()
    add_constant(graph_def, "large", np.arange(100_000, dtype=np.float32))
    function = graph_def.library.function.add()
    function.signature.name = "f"
    graph_def.versions.producer = 8
    graph_def.versions.min_consumer = 1
    return graph_def


def test_the_bytes_are_those_of_the_whole_message(tmp_path: Path) -> None:
    graph_def = graph_with_everything()
    write_graph(str(tmp_path / "graph.pb"), graph_def)
    written = (tmp_path / "graph.pb").read_bytes()
    assert written == graph_def.SerializeToString(deterministic=True)


@pytest.mark.parametrize("count", [200_000, 300_000, 600_000])
def test_large_constants_are_written_as_they_would_be(tmp_path: Path, count: int) -> None:
    graph_def = graph_with_everything()
    add_constant(graph_def, "kernel", np.arange(count, dtype=np.float32).reshape(2, -1))
    node = graph_def.node[-1]
    node.device, node.attr["_class"].s = "/cpu:0", b"loc:@x"
    node.input.append("^large")
    later = graph_def.node.add()
    later.CopyFrom(node)
    later.name, later.attr["zebra"].i = "attribute_behind_the_value", 1
    with_values = graph_def.node.add()
    with_values.CopyFrom(node)
    with_values.name = "values_behind_the_content"
    with_values.attr["value"].tensor.float_val.append(1.0)
    write_graph(str(tmp_path / "graph.pb"), graph_def)
    written = (tmp_path / "graph.pb").read_bytes()
    assert written == graph_def.SerializeToString(deterministic=True)


def test_the_old_version_field_is_kept(tmp_path: Path) -> None:
    graph_def = schema.GraphDef(version=7)
    graph_def.node.add(name="a", op="NoOp")
    write_graph(str(tmp_path / "graph.pb"), graph_def)
    read = schema.GraphDef.FromString((tmp_path / "graph.pb").read_bytes())
    assert read == graph_def


def test_a_graph_that_is_too_large_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(save, "MAX_BYTES", 1000)
    path = tmp_path / "graph.pb"
    graph_def = graph_with_everything()
    with pytest.raises(InputError) as error:
        write_graph(str(path), graph_def)
    wanted = f"{path} would have more than the 1,000 bytes that a GraphDef can have."
    assert str(error.value) == wanted
    assert not list(tmp_path.iterdir())
