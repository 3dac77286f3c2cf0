"""placeholder"""

from cli.command import group

app = group("demo", "x")


def register(app): ...
