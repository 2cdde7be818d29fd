"""A summary that a notebook shows as a table, and that prints as text."""

from __future__ import annotations

import html

from retrain_tools.graphdef.summary import Summary
from retrain_tools.listing.summary_text import summary_text
from retrain_tools.listing.terminal import Style


class ShownSummary(Summary):
    """A Summary with the looks that Python asks for."""

    def __str__(self) -> str:
        return summary_text(self, Style())

    def _repr_html_(self) -> str:
        """Return an HTML table, for Jupyter."""
        rows = [
            ("file", f"{self.path} ({self.file_bytes:,} bytes)"),
            ("kind", self.kind),
            ("network", self.network or "not known"),
            ("nodes", f"{self.nodes:,}"),
            *(("input", f"{g.tensor.name} {g.tensor.dtype} {g.tensor.shape_text}: {g.why}")
              for g in self.inputs),
            *(("output", f"{g.tensor.name} {g.tensor.dtype} {g.tensor.shape_text}: {g.why}")
              for g in self.outputs[:10]),
            *(("worth caching", f"{c.tensor}, {c.depth} values: {c.why}")
              for c in self.bottlenecks),
            ("parameters", f"{self.parameters:,}"),
            ("operations for one image", f"{self.flops:,}"),
            *(("not in TensorFlow", f"{op}, {count}") for op, count in self.unavailable.items()),
            *(("deprecated", f"{d.op}, {d.nodes}: {d.advice}") for d in self.deprecated),
        ]  # fmt: skip
        cells = "".join(
            f"<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>"
            for key, value in rows
        )
        return f"<table>{cells}</table>"
