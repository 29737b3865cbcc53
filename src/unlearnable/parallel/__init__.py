"""Several processes: those that a launcher starts together, and a Ray cluster."""
