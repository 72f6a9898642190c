"""One application, written once for each framework, with the middleware or (when `BARE` is set) without it.

`behaviour` says what the application does; a module named after a framework says it in that framework's words.
"""
