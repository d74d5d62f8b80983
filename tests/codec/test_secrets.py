"""Keys from contents and lease secrets from a client's secret."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.geometry import Encoding
from truckee.codec.hashes import storage_index_of, tagged_hash, tagged_pair_hash
from truckee.codec.secrets import KEY_SIZE, convergence_hasher, lease_secrets


class ConvergenceTests(SynchronousTestCase):
    def test_example(self) -> None:
        """The tag holds the secret and the parameters; the hash is over the plaintext."""
        geometry = Encoding(3, 10, 131072).geometry(56)
        hasher = convergence_hasher(b"a" * 16, geometry)
        self.assertEqual(
            hasher.tag,
            b"allmydata_immutable_content_to_key_with_added_secret_v1+"
            b"16:aaaaaaaaaaaaaaaa,7:3,10,57,",
        )
        self.assertEqual(len(hasher.tag), 86)
        hasher.update(b"a" * 56)
        key = hasher.digest()[:KEY_SIZE]
        self.assertEqual(key.hex(), "380ff65ec57c08c67d0219f67b481d28")

    @given(
        st.integers(1, 5000),
        st.integers(5000, 1 << 22),
        st.integers(5000, 1 << 22),
        st.binary(max_size=40),
    )
    def test_short_files_converge(
        self, size: int, one: int, other: int, secret: bytes
    ) -> None:
        """A file below both maximal segment sizes has one key under either."""
        tags = {
            convergence_hasher(secret, Encoding(3, 10, limit).geometry(size)).tag
            for limit in (one, other)
        }
        self.assertEqual(len(tags), 1)

    def test_what_keeps_files_apart(self) -> None:
        """Secret, k, N and the effective segment size each make another key."""
        cases = [
            (b"", Encoding(3, 10, 1000), 5000),
            (b"s", Encoding(3, 10, 1000), 5000),
            (b"s", Encoding(2, 10, 1000), 5000),
            (b"s", Encoding(3, 11, 1000), 5000),
            (b"s", Encoding(3, 10, 2000), 5000),
        ]
        keys = set()
        for secret, encoding, size in cases:
            hasher = convergence_hasher(secret, encoding.geometry(size))
            hasher.update(bytes(size))
            keys.add(hasher.digest())
        self.assertEqual(len(keys), len(cases))


class LeaseSecretTests(SynchronousTestCase):
    def test_example(self) -> None:
        """The secrets for a server come from client, file and server in turn."""
        secrets = lease_secrets(
            bytes(range(32)), storage_index_of(bytes(range(16))), b"\x42" * 20
        )
        self.assertEqual(
            secrets.renew.hex(),
            "0876f8ba6f9fbcace9a4c863bc7ab3dc0fca26a2ba9c5e071315431c83630c1c",
        )
        self.assertEqual(
            secrets.cancel.hex(),
            "ee2b202afcd0397654d3c624cee6d90494874f6c59f26f1a230a0b86b97fc2a7",
        )

    def test_steps(self) -> None:
        """Client and file secrets, the steps between, are those of stock clients."""
        index = storage_index_of(bytes(range(16)))
        for use, client_hex, file_hex in (
            (
                b"renewal",
                "1771a133f750fc15ade7fc42309154d577e5d908b73e175a4d9536944d564bdf",
                "b8deb9c3ef10d43b38aa383dfa74763c6f5ea07956a1b4133452713174bc677b",
            ),
            (
                b"cancel",
                "7435b5dfb196d777268dbf73f4230657760985c3e50de34f978ef034c13a62b3",
                "f7de1a6e62210b3faf6c5c80757ea06842d2765f3d75ee8c92c51b5537457d0d",
            ),
        ):
            client = tagged_hash(bytes(range(32)), b"allmydata_client_%b_secret_v1" % use)
            self.assertEqual(client.hex(), client_hex)
            file = tagged_pair_hash(b"allmydata_file_%b_secret_v1" % use, client, index)
            self.assertEqual(file.hex(), file_hex)

    def test_not_in_repr(self) -> None:
        """Secrets do not show in a log."""
        secrets = lease_secrets(bytes(32), bytes(16), bytes(20))
        self.assertEqual(repr(secrets), "LeaseSecrets()")
