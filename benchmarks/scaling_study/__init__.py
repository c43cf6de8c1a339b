"""The scaling study behind ``benchmarks/scaling.py``: jobs of several processes, a model of many, a report."""
