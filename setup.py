"""The metadata is in setup.cfg; what it cannot say is here."""

from setuptools import find_packages, setup

# Twisted looks for plugins in this package of its own, which setup.cfg cannot add to
# those that are found.
setup(packages=[*find_packages("src"), "twisted.plugins"])
