"""What checks: needs no torch, no key, and but for an audit's evidence no data.

transcript    all leaves under one root; groups, peaks, the ending
audit         the challenge, the evidence, every check that needs no training, the vote
descent       whose held-out rows a job keeps
trail         what happened to a job, as a file that strangers can check
certificate   one file that says all of it, and every comparison that verifying makes
"""
