"""Calls to helpers and their clients, checked like those to storage servers."""

from truckee.storage.checked import call

__all__ = ["call"]
