"""Demo networks."""
