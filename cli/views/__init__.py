"""What a person reads: text and tables of what `pod` returns, and the values that `--json` prints."""
