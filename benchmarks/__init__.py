"""How fast the API is, beside the classic handler, its peers and a baseline without HTTP: `make bench`, RESULTS.md."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""
