"""Settings: the model, and where their values come from.

In come keywords, framework settings and environment variables; out goes one checked `OtasSettings`.
"""
