"""One HTML file, complete in itself, that shows a graph: drawn scopes, search, constants."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

from retrain_tools.report.graph_data import graph_data
from retrain_tools.report.page_parts import asset, policy_hash

# In the order in which they build on each other.
_SCRIPTS = (
    *("model", "flow", "layout", "drawing", "viewport"),
    *("copy", "panel", "values", "search", "main"),
)
# dist/dagre.min.js of the npm package @dagrejs/dagre 3.1.3 (MIT), under a line that says so and
# without the reference to a source map that is not shipped. Its licence lies beside it.
_LIBRARY = "dagre.min.js"


def graph_page(
    graph_def: Any,
    title: str,
    shapes: Mapping[str, tuple[int | None, ...] | None],
    dtypes: Mapping[str, str],
    path: Sequence[str] = (),
    bottleneck: str | None = None,
    facts: Mapping[str, str] | None = None,
    commands: Sequence[str] = (),
    of_tensor: tuple[str, str] | None = None,
) -> str:
    """Return a page that shows a graph; the browser needs no network and no other file for it.

    The same arguments always give the same page. Nothing in the graph can become markup or code:
    it travels as JSON whose `<`, `>` and `&` are escaped, the page's scripts make text of it, and
    the page's content security policy lets no other script run.

    Args:
        graph_def: the graph.
        title: the page's heading, as the file's name.
        shapes: by full tensor name, `node:0`; None for a shape of unknown rank. Tensors that are
            missing are shown without.
        dtypes: TensorFlow's names of types, `float32`, by full tensor name.
        path: node names from the image input to the bottleneck, highlighted; names that are not
            in the graph are ignored.
        bottleneck: tensor or node name.
        facts: short label to text, shown in the overview: inputs, outputs, kind of file.
        commands: what to run next, to be copied.
        of_tensor: the same for the tensor that is selected: what stands before and after its name.
    """
    title = title.encode("utf-8", "replace").decode("utf-8")  # a file's name may be any bytes
    data = graph_data(graph_def, shapes, dtypes, path, bottleneck)
    data |= {"title": title, "facts": list((facts or {}).items())}
    data |= {"commands": list(commands), "ofTensor": of_tensor}
    style = asset("page.css")
    script = _script()
    return Template(asset("page.html")).substitute(
        title=html.escape(title),
        style=style,
        style_hash=policy_hash(style),
        library=asset(_LIBRARY),
        library_hash=policy_hash(asset(_LIBRARY)),
        # In a comment of HTML, where nothing but "--" and ">" would have a meaning.
        license=asset("dagre.LICENSE.txt").replace("--", "- -"),
        data=_embedded(data),
        script=script,
        script_hash=policy_hash(script),
    )


def _script() -> str:
    """Return the page's own scripts as one, so that they see each other and nobody else's names."""
    parts = "\n".join(asset(f"{name}.js") for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _embedded(data: Any) -> str:
    """Return JSON that can stand in a script element: it cannot end it, whatever the names."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
