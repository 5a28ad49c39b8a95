"""What a recording is made of: files, checked arrays, the order of the rows, and the levels of the loss."""
