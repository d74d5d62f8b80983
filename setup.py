"""The metadata is in setup.cfg; what it cannot say is here."""

from setuptools import Extension, find_packages, setup

# Without a compiler, or where this does not compile, the same is done in Python.
speed = Extension("truckee.codec._speed", ["src/truckee/codec/_speed.c"], optional=True)

# Twisted looks for plugins in this package of its own, which setup.cfg cannot add to
# those that are found.
setup(packages=[*find_packages("src"), "twisted.plugins"], ext_modules=[speed])
