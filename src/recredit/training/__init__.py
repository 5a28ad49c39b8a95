"""Training: one online step, the loop over steps and seeds, what is measured along the way."""
