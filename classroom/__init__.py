"""What the lessons need: checks of the exercises, figures, and the commands `python -m classroom`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""
