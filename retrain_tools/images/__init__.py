"""Folders of pictures: labels, splits, decoding, distortions."""
