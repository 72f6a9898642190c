"""What the middleware needs of memory, measured on real servers."""
