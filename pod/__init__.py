"""Fitchain: train where the data lives, prove what was trained.

Six storeys; a module imports only from its own storey and those below it (`docs/architecture.md` is
the tour).

    parties   the three pods: owner, scientist, verifier
    jobs      one pod's job, its memory, its manners
    proof     what checks
    compute   what computes
    ports     everything that talks to the world
    values    what is agreed and hashed
"""
