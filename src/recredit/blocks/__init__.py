"""What a rule is put together from: feedback, Jacobian, buffers."""
