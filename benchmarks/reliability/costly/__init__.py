"""Files that cost more than others of their size, and what they cost."""
