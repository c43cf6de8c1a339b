"""Where kernels and backends meet: the training loop and what surrounds it."""
