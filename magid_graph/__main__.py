"""`python -m magid_graph` is `magid-graph`."""

from magid_graph.cli import main

main()
