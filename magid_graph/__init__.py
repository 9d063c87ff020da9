"""magid-graph makes multi-modal training data."""

import logging

# Silent unless whoever uses the library says where its log goes.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__version__ = "0.1.0"
