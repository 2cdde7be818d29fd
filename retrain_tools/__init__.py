"""Tooling for TensorFlow's frozen-graph path: list, fetch, cache, retrain, export, check."""

__version__ = "0.1.0"
