"""Two sets of features of the same images: which rows belong together, and how they differ."""
