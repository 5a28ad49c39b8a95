"""What is true of a traced program: sums, products, synapses, whose each number is, and what it is called."""
