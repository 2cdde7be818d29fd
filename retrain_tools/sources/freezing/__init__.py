"""From a graph with variables and functions to a frozen graph; nothing of it is run."""
