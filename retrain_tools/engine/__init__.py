"""Running graphs: the plan by which one runs, sessions, shapes as TensorFlow infers them."""
