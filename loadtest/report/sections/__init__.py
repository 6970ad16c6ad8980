"""What each part of the page says: a file per part, each from Subjects to words, tables and pictures."""
