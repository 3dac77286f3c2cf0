"""Fitchain: train where the data lives, prove what was trained.

The tour, in the order in which a job meets the modules; each imports only from those above it (`docs/architecture.md` has more).

    errors, settings, digest     what fails, where things are, how bytes are named
    recipe                       what to train and how, parsed once and frozen
    state, leaf                  named tensors and their roots; what a transcript says of one moment
    graph, model                 an `nn.Module` as data, and that data as something that trains
    sealed, store                age envelopes; objects by content identifier
    dataset                      records that stay, the root and the card that are published, the order of batches
    chain, keys                  a node, contracts, transactions that survive a power cut; accounts and identities
    registry, agreement          who is who; terms, money and life cycle
    environment, sandbox         what makes a replay exact; what a foreign recipe may touch
    training, checkpoint         the loop; states become leaves beside it
    transcript, certificate      all leaves under one root; one file that says all of it
    parcel, worker, rehearsal    what travels; the process that trains; a job on mock data
    journal, patience, home      a pod's memory, its errors, its folder
    owner, scientist             the two pods
"""
