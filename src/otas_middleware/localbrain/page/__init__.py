"""The local Brain's page: a live view of what arrives, served to a browser on this machine.

`site` puts it together. Each module beside it answers one kind of question from the store; `static/` is what the
browser loads, as it is, without a build step.
"""
