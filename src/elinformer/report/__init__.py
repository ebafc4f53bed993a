"""Tables for the terminal and pictures of forecasts, made from the documents that go into JSON."""
