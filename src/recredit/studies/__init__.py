"""The paper's experiments: each its grid, its reduction, its claims."""
