"""The commands of `fitchain`, one module a group: parse, call one function of `pod`, report."""
