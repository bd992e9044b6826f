"""Darknet networks: a cfg is read, planned and checked, then converted to ONNX once."""
