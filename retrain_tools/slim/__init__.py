"""The slim networks, each as a table of its layers: a checkpoint's arrays in, a frozen graph out."""
