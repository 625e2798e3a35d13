"""What an author needs of a run: a filled checklist, methods and results, a table, BibTeX."""
