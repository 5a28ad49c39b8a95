"""Training: one online step, the loop over steps and seeds, and what is measured along the way."""
