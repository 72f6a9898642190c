"""The test kit behind `otas_middleware.testing`."""
