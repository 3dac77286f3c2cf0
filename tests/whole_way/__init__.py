"""Models and records that go the whole way, from their sources to a certificate, and what trains
the same models as anyone would.

    models     the scientist's modules, whose file is copied into its folder; trained beforehand
    records    what the owner has: images with masks, images in folders, notes, a list of passengers
    parties    the terminals of an owner, a scientist, five verifiers and a stranger
    eager      the same training by the module's own code and torch's optimizer
    comparison what was delivered beside it
"""
