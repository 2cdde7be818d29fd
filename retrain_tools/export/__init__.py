"""Any loaded graph in another form, run again after writing and compared with its source."""
