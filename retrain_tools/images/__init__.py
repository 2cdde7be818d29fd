"""Folders of images: labels, splits, decoding, distortions."""
