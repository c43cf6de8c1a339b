"""The supervisor of a job of several processes: it starts, watches, restarts and ends them."""
