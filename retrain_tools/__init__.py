"""Tooling for TensorFlow's frozen-graph path: list, fetch, cache, retrain, export, check.

In Python:

    import retrain_tools
    network = retrain_tools.load("classify_image_graph_def.pb")
    network.summary()
    network.tensors("pool")
    network.fetch("pool_3/_reshape:0", "photos").values
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrain_tools.network import Network

__version__ = "0.1.0"


def load(
    graph: str | Path,
    *,
    model_dir: str | Path | None = None,
    tags: str | Sequence[str] | None = None,
    signature: str | None = None,
    preprocess: str | None = None,
    **spec: Any,
) -> Network:
    """Open a network: any TensorFlow file, or the name of a catalogued one. Nothing of it is run.

    Args:
        graph: a file or folder, a checkpoint's prefix, or a name of the catalogue.
        model_dir: where catalogued networks are kept; None for the user's cache folder.
        tags: of a SavedModel: which of its graphs.
        signature: of a SavedModel or MetaGraph: what to freeze.
        preprocess: of a slim checkpoint: `resize` or `slim`, what to put before the network.
        spec: what the graph does not say of itself, as the scripts' flags: `input_layer`,
            `output_layer`, `bottleneck_tensor`, `input_height`, `input_width`, `input_mean`,
            `input_std`.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    from retrain_tools.network import Network

    choices = overrides = None
    if (tags, signature, preprocess) != (None, None, None):
        from retrain_tools.sources.load import Choices

        choices = Choices([tags] if isinstance(tags, str) else tags, signature, preprocess)
    if spec:
        from retrain_tools.graphdef.spec import SpecOverrides

        overrides = SpecOverrides(**spec)
    return Network(graph, model_dir, choices, overrides)
