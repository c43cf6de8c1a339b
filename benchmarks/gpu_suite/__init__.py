"""The GPU benchmark behind ``benchmarks/gpu.py``: candidates, a process for each, verification, times, a report."""
