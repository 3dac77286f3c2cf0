"""The mathematics of differential privacy: what a training charges, and noise that can be drawn
again.

    accountant   Renyi DP of sampled, noised sums at eight orders, and the epsilon that it means
    ledger       budgets and charges as a contract keeps them: eight lanes in a word
    keys         what noise and samples follow from, a key for each segment, and who may check it
    release      noise of numbers that are told once beside a training
    terms        the least noise that keeps a training within an epsilon
    stream       one keyed stream of bytes for each use of a key
    noise        the discrete Gaussian, drawn from such a stream
    sampling     which units a step draws, from such a stream

No torch, and no float in what decides a bit.
"""
