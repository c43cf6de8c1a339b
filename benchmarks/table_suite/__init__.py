"""The measurement behind ``benchmarks/tables.py``: tables from packages, splits, methods, scores, a summary."""
