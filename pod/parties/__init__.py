"""The three pods, which know nothing of one another.

owner       answers requests, trains, proves
scientist   publishes, asks, receives, checks
verifier    takes seats, replays, votes

Beside them `loop`, which all three are, and `asker`: whoever has a settled job audited again, by a
panel of its own trust; and `recovery`, which makes a home whole whose journal was lost, whichever
party's it is.
"""
