"""Any file that holds a network to a frozen graph."""
