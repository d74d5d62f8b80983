"""Benchmarks: commands of their own, of processes that start as a user's do."""

import os

from tests import warm

os.environ[warm.COLD] = "1"
