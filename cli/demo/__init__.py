"""The demonstration: parties with homes and pods of their own, the play, its summary."""
