"""Tests of truckee.mutable."""
