"""Pages to look at; takes a GraphDef of any origin, needs no TensorFlow."""
