"""An audit: attackers on the owner's own pictures, clean and protected, with a control, and a page that says it."""
