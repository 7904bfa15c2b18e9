"""What kubectl shows: the columns of every kind, and how their cells are made."""
