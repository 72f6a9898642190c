"""Faults under steady load: a real application server with several workers, a real Brain process, and what breaks."""
