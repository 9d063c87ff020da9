"""magid-graph makes multi-modal training data."""

__version__ = "0.1.0"
