"""The commands of ``rpj``, a module for each family of them."""
