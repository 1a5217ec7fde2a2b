"""Filters and transforms: pure functions on documents and strings, no input or output, no configuration."""
