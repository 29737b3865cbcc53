"""The page's tabs, a file each: `build(room)` puts its parts into the page that is being made."""
