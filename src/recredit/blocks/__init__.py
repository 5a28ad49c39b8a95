"""The building blocks of rules: feedback, Jacobian, buffers."""
