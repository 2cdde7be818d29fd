"""Files to graphs, graphs to graphs; never runs a graph."""
