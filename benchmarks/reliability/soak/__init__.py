"""Good and hostile clients, kills and a full disk, for as long as is asked; then everything must be as before."""
