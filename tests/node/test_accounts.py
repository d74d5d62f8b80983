"""Where the accounts of a node are."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from truckee.node.accounts import accounts_path
from truckee.node.config_file import BadConfig, ConfigFile
from truckee.node.layout import NodeDirectory


class AccountsPathTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = NodeDirectory(new_directory(self))

    def path(self, text: str) -> str:
        file = ConfigFile.parse(self.node.config, text)
        return str(accounts_path(self.node, file))

    def test_path(self) -> None:
        """It is where stock looks for it, or in ``private`` if the node names none."""
        here = self.node.path
        self.assertEqual(self.path(""), f"{here}/private/accounts")
        config = "[sftpd]\naccounts.file = {}\n"
        self.assertEqual(self.path(config.format("other")), f"{here}/other")
        self.assertEqual(self.path(config.format("/etc/people")), "/etc/people")
        self.assertRaises(BadConfig, self.path, config.format("~nobody-of-this-name/x"))
