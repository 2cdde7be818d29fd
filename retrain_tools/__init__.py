"""Tooling for TensorFlow's frozen-graph path: list, fetch, cache, retrain, export, check.

In Python:

    import retrain_tools as rt
    model = rt.load("classify_image_graph_def.pb")
    model.summary()
    rt.fetch(model, "pool_3/_reshape:0", "photos").values

Each is imported when it is first used: opening and listing a graph takes no NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrain_tools.api import (
        fetch as fetch,
        fetch_many as fetch_many,
        freeze as freeze,
        label as label,
        load as load,
        read_bottlenecks as read_bottlenecks,
        retrain as retrain,
        run as run,
    )
    from retrain_tools.comparing.comparison import compare as compare
    from retrain_tools.engine.settings import RunSettings as RunSettings
    from retrain_tools.errors import InputError as InputError
    from retrain_tools.features.parts.options import ManyOptions as ManyOptions
    from retrain_tools.features.read_features import read_features as read_features
    from retrain_tools.head.tuned_tail import FineTuning as FineTuning
    from retrain_tools.metrics.evaluation import evaluate_images as evaluate_images
    from retrain_tools.safety.scanning import scan as scan
    from retrain_tools.sources.model import Model as Model
    from retrain_tools.surgery import (
        export_graph as export_graph,
        to_keras as to_keras,
        transform_graph as transform_graph,
    )

__version__ = "0.1.0"

_PLACES = {
    **dict.fromkeys(
        ("fetch", "fetch_many", "freeze", "label", "read_bottlenecks", "retrain", "run"),
        "retrain_tools.api",
    ),
    **dict.fromkeys(("export_graph", "to_keras", "transform_graph"), "retrain_tools.surgery"),
    "compare": "retrain_tools.comparing.comparison",
    "evaluate_images": "retrain_tools.metrics.evaluation",
    "load": "retrain_tools.sources.open",
    "read_features": "retrain_tools.features.read_features",
    "scan": "retrain_tools.safety.scanning",
    "FineTuning": "retrain_tools.head.tuned_tail",
    "InputError": "retrain_tools.errors",
    "ManyOptions": "retrain_tools.features.parts.options",
    "Model": "retrain_tools.sources.model",
    "RunSettings": "retrain_tools.engine.settings",
}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'retrain_tools' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
