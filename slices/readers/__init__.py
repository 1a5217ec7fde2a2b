"""Raw formats, each as a stream of records."""
