"""What a file holds beside its graph, in short; all there is to say of one without a graph."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from retrain_tools.graphdef.tensors import Tensor
from retrain_tools.listing.tables import aligned, counted
from retrain_tools.listing.terminal import Style

if TYPE_CHECKING:
    from retrain_tools.network import Network

_PLAIN = Style()


def about_text(network: Network) -> str:
    """Return what is known of a file without a graph."""
    opened = network.opened
    lines = [("File", str(network.path)), ("Kind", network.kind)]
    held = _held(network)
    told = {label.lower() for label, _ in held}  # and in more words
    details = opened.details if opened else {}
    lines += [(f"{k[:1].upper()}{k[1:]}", text) for k, text in details.items() if k not in told]
    lines += held
    if opened is not None and opened.why_not:
        lines.append(("Frozen", f"cannot be: {opened.why_not}"))
    return aligned(lines, _PLAIN, heading=False)


def also_text(network: Network, style: Style) -> str:
    """Return what a file with a graph holds besides; nothing for a plain graph."""
    held = _held(network)
    graph = network.stored_graph
    if graph is not None and graph.library.function:
        names = counted(len(graph.library.function), "function")
        held.append(("functions", f"{names}: --functions"))
    if not held:
        return ""
    lines = aligned([(label.lower(), text) for label, text in held], _PLAIN, heading=False)
    return f"\n{style.bold('In the file')}\n" + "".join(f"  {x}\n" for x in lines.splitlines())


def about_json(network: Network) -> str:
    """Return the same as `about_text` for programs."""
    opened = network.opened
    content = {
        "path": str(network.path),
        "kind": network.kind,
        "details": dict(opened.details) if opened else {},
        "variables": len(network.variables),
        "tensors": len(network.all_tensors),
        "signatures": list(network.signatures),
        "why_not_frozen": opened.why_not if opened else "",
    }
    return json.dumps(content, indent=1) + "\n"


def _held(network: Network) -> list[tuple[str, str]]:
    lines = []
    if network.variables:
        shapes = [(0,) if v.shape is None else v.shape for v in network.variables]
        values = sum(math.prod(d or 0 for d in shape) for shape in shapes)
        tensors = (Tensor(v.name, v.dtype, v.shape, "") for v in network.variables)
        size = sum(tensor.bytes or 0 for tensor in tensors)
        text = f"{counted(len(network.variables), 'variable')}, {values:,} values, {size:,} bytes"
        lines.append(("Variables", f"{text}: --variables"))
    if network.signatures:
        lines.append(("Signatures", f"{', '.join(network.signatures)}: --signatures"))
    return lines
