"""The HTML report on folders of results: its sentences, tables and pictures; not its layout."""
