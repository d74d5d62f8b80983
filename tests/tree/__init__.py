"""Tests of truckee.tree."""
