"""The retrained layer: training, evaluation, export."""
