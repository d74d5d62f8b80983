"""SSH servers whose subsystems are slowed down by who is slow, on both sides."""
