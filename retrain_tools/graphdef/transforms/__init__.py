"""Rewritings of a GraphDef; each takes a graph and returns a new one."""
