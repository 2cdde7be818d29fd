"""Why two sets of features differ: one side is run again in every usual way."""
