"""Several processes: those that are launched together, and a Ray cluster."""
