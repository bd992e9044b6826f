"""Detections over HTTP."""
