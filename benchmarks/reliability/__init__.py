"""What the API does under overload and faults. `python -m benchmarks.reliability [NAME ...]` writes RELIABILITY.md."""
