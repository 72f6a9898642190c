"""The tests in several versions of Python and of the frameworks, and the table of what was found."""
