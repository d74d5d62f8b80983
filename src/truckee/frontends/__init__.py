"""What clients talk to.  The packages on this layer do not know each other."""
