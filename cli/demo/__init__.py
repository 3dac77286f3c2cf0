"""The demonstration: parties with homes and pods of their own, the play, and what is said at its end."""
