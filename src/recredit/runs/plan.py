"""Which cells are trained together, and in which job."""
