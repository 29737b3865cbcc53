"""The audit: it attacks the owner's own pictures, clean, protected and with a control, and writes a report."""
