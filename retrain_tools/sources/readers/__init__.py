"""One module for each kind of file: from a place on disk to a Model."""
