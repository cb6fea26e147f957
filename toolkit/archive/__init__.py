"""The one file for a stranger: what goes into an archive, how it is written, how it is signed (design section 11)."""
