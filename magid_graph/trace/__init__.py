"""Reading, replaying and comparing what the graphs of a run did."""
