"""Where a network departs from another one, and what each departure does."""
