"""The layers inside a Keras model, a SavedModel or a Hub module."""
