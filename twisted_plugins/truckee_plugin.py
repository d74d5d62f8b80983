"""Tells ``twistd`` of the ``truckee`` service."""

from truckee.plugin import TruckeeServiceMaker

truckee = TruckeeServiceMaker()
