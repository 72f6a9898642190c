"""OTAS middleware: records what AI agents do in a backend, as events in Brain."""
