"""How fast the API is, beside the classic handler, its peers and the machine's limit: `make bench`, RESULTS.md."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""
