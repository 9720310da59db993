"""Python companions of flashrex: importing PyTorch models into system files, and reports."""

__version__ = "0.1.0"
