"""The training loop, its policies (order, rates, stopping) and its checkpoints."""
