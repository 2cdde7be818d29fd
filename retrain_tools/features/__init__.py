"""Bottlenecks: computed from a graph, cached one file per image."""
