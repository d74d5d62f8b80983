"""Foolscap between peers that do not trust each other."""
