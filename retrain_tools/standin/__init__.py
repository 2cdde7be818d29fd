"""Drawn photos and a random-weight stand-in for the 2015 Inception graph: no download needed."""
