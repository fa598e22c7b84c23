"""What one leader does on a schedule: copy desks, and purge what is too old."""
