"""The mathematics of differential privacy: what a training charges at eight Renyi orders.

    accountant   Renyi DP of sampled, noised sums, and the epsilon that it means
    ledger       budgets and charges as a contract keeps them: eight lanes in a word
    terms        the least noise that keeps a training within an epsilon

No torch, and no float in what decides a bit.
"""
