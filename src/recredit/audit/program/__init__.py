"""From a rule's source to a graph of single numbers."""
