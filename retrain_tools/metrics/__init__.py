"""FID and its family: how far a set of images is from another, by the features of a network."""
