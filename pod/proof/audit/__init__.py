"""Audits: what a verifier is shown of a training, what it checks, and how it votes.

It knows leaves, records, states as bytes and what the chain says of a job; nothing of torch, of
transactions, or of how evidence travels.

challenge     which segments are audited
chain_record  what the chain says of an ended training
records       opened records as one file
evidence      what the owner discloses: writing it, reading it with limits
checking      everything that can be checked without training again
reference     the same of a segment of a risk report's reference training
vote          outcome, trace and commitment
cost          how likely a fake is found, and what that discloses and costs
plan          what is agreed of it, and what the defaults are
diagnosis     where a disagreement begins
pace          how long a replay takes, by the work that the terms state
disclosure    what it opens at most, in the words of a policy
storage       how many bytes its states and its evidence take
payouts       who gets what by its verdict
"""

from __future__ import annotations
