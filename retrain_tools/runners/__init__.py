"""Work on many tasks, in processes of this machine or on a Ray cluster. It knows no images."""
