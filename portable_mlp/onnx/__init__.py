"""ONNX files: a network to run elsewhere, and a training step, traced from the library's own kernels."""
