"""The parts of tools/benchmark.py: what is measured, against whom, and what has to hold."""
