"""Operators, where they compute: what binds torch to the records of
`fitchain.pod.values.graph.operators` (torch).

`kernels` computes, `arguments` says what torch is given and checks it against torch's own schema,
`guards` checks before an operator in a dry run, `metering` counts what a kernel takes, `cases` runs
the calls of a record and takes their digests. It knows no environment class: whoever calls says
which own kernels it wants.
"""
