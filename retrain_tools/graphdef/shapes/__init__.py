"""Shapes of tensors without TensorFlow: exact rules, and unknown where none applies."""
