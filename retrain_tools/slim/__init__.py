"""The slim networks as tables of their layers: a checkpoint's arrays in, a frozen graph out."""
