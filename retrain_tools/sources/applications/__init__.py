"""Keras Applications: networks by their names, built with Keras once and kept frozen."""
