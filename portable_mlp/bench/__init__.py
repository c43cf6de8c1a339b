"""The benchmark behind ``portable-mlp bench`` and ``doctor``: cases, candidates, the GEMM floor, the measurement."""
