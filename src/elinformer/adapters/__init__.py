"""Other people's forecasting models, each run by its own library; one file, and one extra, a library."""
