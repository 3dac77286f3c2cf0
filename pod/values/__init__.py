"""What is agreed and hashed: values parsed once, and the bytes and digests that name them.

    errors       what fails: *refuted* (exit 1) or *unusable* (exit 3)
    digest       canonical JSON, BLAKE3, tagged SHA-256, RFC 6962 trees and paths
    typed_json   frozen records in JSON and back, by the types of their fields
    limits       what is read at most of each kind of foreign input
    reading      files that somebody else made
    urls         URLs of HTTP, told without what nobody else may see
    versions     what this release reads, and what it says of other versions
    suggestions  known names near to one that is not known
    categories   how categories stand in a list for people
    ids          ids of agreements, datasets, models and panels, each a type of its own
    amounts      FIT and ETH as people read them
    audit_mode   how much an audit discloses
    recipe       what to train and how
    state        named tensors as bytes, and their roots
    delta        a model's file: whole, or what its base does not have
    weights_file  weights that somebody else made: one file, or shards with their index
    files        files and folders that somebody else laid out
    job_folder   every name in a job's folder
    held_out     what a trained model does on records that nobody trained on, in counts
    counting     which of the records' targets count in a result, and how
    evaluation   what it does on a table of the scientist's own
    best         which leaf's model is delivered, by the results on held-out records
    leaf         what a transcript says of one checkpoint
    derivation   how a model follows from what a job delivered, as its author says
    hash_chain   links that follow from one secret
    privacy      what a noised training charges, and its noise
    risk         what an attack on a trained model found
    graph        a model as data, and the operators that it may use
    work         what a training step takes of its host

Imports no other storey.
"""
