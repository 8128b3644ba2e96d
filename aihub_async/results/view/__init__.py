"""A page to look at results: the documents as pictures, with a box around each value."""
