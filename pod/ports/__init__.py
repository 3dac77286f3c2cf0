"""Everything that talks to the world outside a pod: files of settings, processes, keys, the store
and the chain.

    settings    which home, node, store and key
    database    a home's databases: made whole, looked at before they are believed
    processes   processes that run on after the command that started them
    memory      how much of it this host has, and how much is free
    sealed      age envelopes for named recipients
    store       objects by content identifier, in a folder or on a Kubo node
    chain       JSON-RPC, ABI, transactions that survive a power cut, deployment, the devnet
    passphrase  from a file or from whoever is asked
    keys        account and age identity, encrypted at rest
    model_signature  a signature of OpenSSF's kind over a folder, by a key of one's own
    registry    pods, datasets and models as the chain knows them
    verifiers   stakes, hash chains, places in panels and the pool
    trust       whom this home relies on: panels as they stood, and verifiers' accounts
    agreement   terms, life cycle, audits and proof, as typed calls

Imports `values`; nothing here imports torch.
"""
