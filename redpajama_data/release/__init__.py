"""What others get of a root: a data set repository that loads, a sample of it, and documents found or taken out."""
