"""One HTML page about a root: what is in it, what left and why, with figures and examples."""
