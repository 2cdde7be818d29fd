"""Two sets of features against each other: how they differ, and why."""
