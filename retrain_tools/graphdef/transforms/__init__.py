"""Rewritings of a graph; each takes one and returns a new one.

All take a light graph, its weights, and the names of nodes whose values must stay (`keep`: what is
to be fetched), and return a light graph and its weights. What they are given is not changed.
"""
