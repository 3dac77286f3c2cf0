"""Operators, where they compute: what binds torch to the records of
`fitchain.pod.values.graph.operators` (torch).

`kernels` finds what computes, `own_kernels` puts what a class computes in its own way (`products`
by `openblas`, `roots`, `composed` functions, `lstm` with the shapes of `recurrent`) in the place of
torch's stock, `arguments` says what torch is given and checks it against torch's own schema,
`guards` checks before an operator in a dry run, `metering` counts what a kernel takes, `cases` runs
the calls of a record and takes their digests, `row_wise` computes several records in one call. It
knows no environment class.
"""
