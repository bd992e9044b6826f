"""How the starter model and the sample pictures were made: see training/README.md."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""
