"""What people would use instead: each as its own documentation advises, in a process of its own."""
