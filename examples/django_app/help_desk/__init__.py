"""A help desk, as an example of a Django application with OTAS."""
