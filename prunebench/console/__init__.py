"""What the commands print and read: options, configuration files, boards, listings."""
