"""An orders API, as an example of a FastAPI application with OTAS."""
