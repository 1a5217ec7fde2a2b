"""Work of several stages of one slice."""
