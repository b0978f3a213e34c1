"""From folders of results to what a page says, tabulates and shows; not to its layout."""
