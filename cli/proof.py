"""placeholder"""

from cli.command import group

app = group("proof", "x")


def register(app): ...
