"""The agent's side: one session per process, its calls outside the domain as events, its tools as events."""
