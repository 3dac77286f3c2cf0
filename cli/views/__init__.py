"""What `pod` returns, as people read it and as `--json` prints it."""
