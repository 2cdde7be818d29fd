"""What a file could do to the computer that opens it; the decision whether a graph may run."""
