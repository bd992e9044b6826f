"""How fast the API is, beside the classic handler, its peers and the machine's limit: `make bench`, RESULTS.md."""
