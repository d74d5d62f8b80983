"""``python -m truckee`` is the ``truckee`` command."""

from truckee.cli import main

if __name__ == "__main__":
    main()
