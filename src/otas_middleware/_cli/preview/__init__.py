"""What `otas-middleware preview` does: take a recorded exchange, and show the event that would be sent for it."""
