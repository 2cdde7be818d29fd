"""What list_tensors prints: choosing tensors, and writing them down."""
