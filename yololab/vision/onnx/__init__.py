"""ONNX detectors: what a file says of itself, which family it is of, and what its outputs mean."""
