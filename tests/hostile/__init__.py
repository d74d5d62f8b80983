"""Attacks on a node, each with the test that it does no harm."""
