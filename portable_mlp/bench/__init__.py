"""How fast is a training step here? Cases, candidates, the floor, and a measurement that can be trusted."""
