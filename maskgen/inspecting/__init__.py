"""`maskgen inspect --html`: a data set as one page to look at."""
