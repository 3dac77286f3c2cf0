"""The commands of `fitchain`, one module a group: each parses, calls one function of `pod` and returns a report."""
