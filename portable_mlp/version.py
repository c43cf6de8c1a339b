"""The version of the library, as model files and ONNX files record it."""

__version__ = "0.1.0"
