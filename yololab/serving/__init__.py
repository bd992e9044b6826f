"""How an app is run: in a notebook's kernel, from a terminal, in several processes."""
