"""What tools/soak.py does: faults, the jobs they strike, and what has to be true afterwards."""
