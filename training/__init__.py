"""How the starter model and the sample pictures were made: see training/README.md."""
