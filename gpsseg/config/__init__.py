"""What the commands can be asked: frozen dataclasses, whose docstrings are the help texts."""
