"""Reads outside a unit of work. All raise ``Unavailable`` when the database cannot be reached."""
