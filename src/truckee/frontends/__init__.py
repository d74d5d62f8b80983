"""What clients talk to.  The rooms on this floor do not know each other."""
