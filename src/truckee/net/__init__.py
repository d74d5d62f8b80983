"""What two processes need to talk that know no Tahoe-LAFS object."""
